#include "bugcheck/client.h"

#include <fmt/format.h>

#include "machine_core.h"

namespace bugcheck {
namespace {

using boot::ClientRequest;
using boot::ClientTransfer;

constexpr uint32_t kCaseInsensitive = 0x40;      // OBJ_CASE_INSENSITIVE
constexpr uint32_t kSynchronousNonAlert = 0x20;  // FILE_SYNCHRONOUS_IO_NONALERT
constexpr size_t kMaxNameBytes = 50 * 1024;

// CreateFile's names as NT's: \\.\X and C:\x are below \??; what begins with one backslash is an NT path.
std::u16string NtName(std::wstring_view path) {
  std::u16string name;
  if (path.starts_with(L"\\\\.\\") || path.starts_with(L"\\\\?\\")) {
    name = u"\\??\\";
    path.remove_prefix(4);
  } else if (path.size() >= 2 && path[1] == L':') {
    name = u"\\??\\";
  }
  for (const wchar_t c : path) {  // wchar_t is a code point here
    const auto code = static_cast<uint32_t>(c);
    if (code >= 0x10000) {
      name += static_cast<char16_t>(0xD800 + ((code - 0x10000) >> 10));
      name += static_cast<char16_t>(0xDC00 + ((code - 0x10000) & 0x3FF));
    } else {
      name += static_cast<char16_t>(code);
    }
  }
  return name;
}

ClientTransfer Transfer(uint64_t handle, uint32_t code, size_t input, size_t output) {
  ClientTransfer transfer{};
  transfer.handle = handle;
  transfer.code = code;
  transfer.input_length = static_cast<uint32_t>(std::min<size_t>(input, UINT32_MAX));
  transfer.output_length = static_cast<uint32_t>(std::min<size_t>(output, UINT32_MAX));
  return transfer;
}

ClientTransfer Raw(uint64_t handle, uint32_t code, const RawBuffers& buffers) {
  ClientTransfer transfer = Transfer(handle, code, buffers.input_length, buffers.output_length);
  transfer.input = buffers.input;
  transfer.output = buffers.output;
  transfer.flags = boot::kClientRawAddresses;
  return transfer;
}

ClientTransfer AtOffset(ClientTransfer transfer, std::optional<uint64_t> offset) {
  // An overlapped file has no position of its own: without an offset it is the beginning, as in OVERLAPPED.
  transfer.offset = offset.value_or(0);
  transfer.flags |= boot::kClientHasOffset;
  return transfer;
}

template <typename T>
T First(const Bytes& data) {
  T value{};
  std::memcpy(&value, data.data(), std::min(sizeof(T), data.size()));
  return value;
}

Error Failure(const std::string& what, const IoResult& result) {
  return {fmt::format("cannot {}: {}", what, result.note.empty() ? result.status.text() : result.note),
          result.status};
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const IoResult& result) {
  stream << result.status;
  if (!result.note.empty()) return stream << " (" << result.note << ")";
  return stream << ", information " << result.information;
}

bool Request::Done() {
  if (core_ == nullptr) return true;
  if (auto client = core_->client.lock(); client != nullptr && !core_->done) client->Read();
  return core_->done;
}

IoResult Request::Wait(Milliseconds timeout) {
  IoResult none;
  none.status = status::kNoAnswer;
  if (core_ == nullptr) {
    none.note = "no request was started";
    return none;
  }
  if (core_->done) return core_->result;
  auto client = core_->client.lock();
  if (client != nullptr) client->machine()->Wait(timeout, [this] { return core_->done; });
  if (core_->done) return core_->result;
  none.note = client != nullptr ? client->machine()->Whereabouts() : "its client has ended";
  return none;
}

Status Request::Cancel() {
  auto client = core_ != nullptr ? core_->client.lock() : nullptr;
  if (client == nullptr || core_->done) return status::kNotFound;
  return client->Cancel(core_->handle, core_->id);
}

File::File(File&& other) noexcept : client_(std::move(other.client_)), handle_(other.handle_) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    (void)Close();
    client_ = std::move(other.client_);
    handle_ = other.handle_;
  }
  return *this;
}

File::~File() {
  (void)Close();
}

Request File::StartIoctl(uint32_t code, ByteView input, size_t output_size) {
  if (!is_open()) return Request();
  return client_->StartTransfer(ClientRequest::kControl, Transfer(handle_, code, input.size(), output_size),
                                input);
}

Request File::StartIoctlRaw(uint32_t code, const RawBuffers& buffers) {
  return is_open() ? client_->StartTransfer(ClientRequest::kControl, Raw(handle_, code, buffers), {})
                   : Request();
}

Request File::StartRead(size_t size, std::optional<uint64_t> offset) {
  if (!is_open()) return Request();
  return client_->StartTransfer(ClientRequest::kRead, AtOffset(Transfer(handle_, 0, 0, size), offset), {});
}

Request File::StartWrite(ByteView data, std::optional<uint64_t> offset) {
  if (!is_open()) return Request();
  return client_->StartTransfer(ClientRequest::kWrite, AtOffset(Transfer(handle_, 0, data.size(), 0), offset),
                                data);
}

IoResult File::Ioctl(uint32_t code, ByteView input, size_t output_size) {
  return StartIoctl(code, input, output_size).Wait();
}

IoResult File::IoctlDirect(uint32_t code, ByteView input, ByteView output) {
  if (!is_open()) return Request().Wait();
  const ClientTransfer transfer = Transfer(handle_, code, input.size(), output.size());
  return client_->StartTransfer(ClientRequest::kControl, transfer, input, output).Wait();
}

IoResult File::IoctlRaw(uint32_t code, const RawBuffers& buffers) {
  return StartIoctlRaw(code, buffers).Wait();
}

IoResult File::Read(size_t size, std::optional<uint64_t> offset) {
  return StartRead(size, offset).Wait();
}

IoResult File::Write(ByteView data, std::optional<uint64_t> offset) {
  return StartWrite(data, offset).Wait();
}

Status File::CancelAll() {
  return is_open() ? client_->Cancel(handle_, 0) : status::kInvalidHandle;
}

Request File::StartClose() {
  if (!is_open()) return Request();
  auto client = std::move(client_);
  client_ = nullptr;
  return client->Start(ClientRequest::kClose, handle_, AsBytes(handle_));
}

Status File::Close() {
  if (!is_open()) return status::kInvalidHandle;
  return Client(std::exchange(client_, nullptr)).CloseHandle(handle_);
}

Result<File> Client::Open(std::wstring_view path, const OpenOptions& options) {
  const std::u16string name = NtName(path);
  const size_t bytes = name.size() * sizeof(char16_t);
  if (core_ == nullptr) return Error{"cannot open a file: the client has ended"};
  if (bytes > kMaxNameBytes)
    return Error{"cannot open a file: its name is too long", status::kObjectNameInvalid};
  boot::ClientOpen open{};
  open.access = options.access;
  open.share = options.share;
  open.disposition = options.disposition;
  open.options = options.create_options | (options.synchronous ? kSynchronousNonAlert : 0);
  open.attributes = kCaseInsensitive;
  open.name_length = options.claimed_name_length.value_or(static_cast<uint16_t>(bytes));
  const IoResult result =
      core_->Perform(ClientRequest::kOpen, 0, AsBytes(open), std::as_bytes(std::span(name)));
  if (!result.ok()) return Failure("open " + std::string(path.begin(), path.end()), result);
  return File(core_, First<uint64_t>(result.data));
}

IoResult Client::IoctlOnHandle(uint64_t handle, uint32_t code, ByteView input, size_t output_size) {
  return StartIoctlOnHandle(handle, code, input, output_size).Wait();
}

Request Client::StartIoctlOnHandle(uint64_t handle, uint32_t code, ByteView input, size_t output_size) {
  if (core_ == nullptr) return Request();
  return core_->StartTransfer(ClientRequest::kControl, Transfer(handle, code, input.size(), output_size),
                              input);
}

Request Client::StartIoctlRawOnHandle(uint64_t handle, uint32_t code, const RawBuffers& buffers) {
  return core_ != nullptr ? core_->StartTransfer(ClientRequest::kControl, Raw(handle, code, buffers), {})
                          : Request();
}

Status Client::CloseHandle(uint64_t handle) {
  return core_ != nullptr ? core_->Perform(ClientRequest::kClose, handle, AsBytes(handle)).status
                          : status::kInvalidHandle;
}

Result<uint64_t> Client::Allocate(size_t bytes, uint32_t protection) {
  if (core_ == nullptr) return Error{"cannot allocate memory: the client has ended"};
  struct {
    uint64_t bytes;
    uint32_t protection;
  } __attribute__((packed)) const payload{bytes, protection};
  const IoResult result = core_->Perform(ClientRequest::kAllocate, 0, AsBytes(payload));
  if (!result.ok()) return Failure("allocate memory", result);
  return First<uint64_t>(result.data);
}

Status Client::Free(uint64_t address) {
  return core_ != nullptr ? core_->Perform(ClientRequest::kFree, 0, AsBytes(address)).status
                          : status::kNoAnswer;
}

Status Client::Protect(uint64_t address, size_t bytes, uint32_t protection) {
  struct {
    uint64_t address, bytes;
    uint32_t protection;
  } __attribute__((packed)) const payload{address, bytes, protection};
  return core_ != nullptr ? core_->Perform(ClientRequest::kProtect, 0, AsBytes(payload)).status
                          : status::kNoAnswer;
}

Result<Bytes> Client::ReadMemory(uint64_t address, size_t bytes) {
  Bytes all;
  while (core_ != nullptr && all.size() < bytes) {
    struct {
      uint64_t address;
      uint32_t bytes;
    } __attribute__((packed))
    const payload{address + all.size(), static_cast<uint32_t>(std::min(bytes - all.size(), kMaxTransfer))};
    const IoResult result = core_->Perform(ClientRequest::kPeek, 0, AsBytes(payload));
    if (!result.ok() || result.data.empty()) return Failure("read the client's memory", result);
    all.insert(all.end(), result.data.begin(), result.data.end());
  }
  return all;
}

Status Client::WriteMemory(uint64_t address, ByteView data) {
  Status status = status::kSuccess;
  while (core_ != nullptr && !data.empty() && status.ok()) {
    const ByteView part = data.first(std::min(data.size(), kMaxTransfer));
    status = core_->Perform(ClientRequest::kPoke, 0, AsBytes(address), part).status;
    address += part.size();
    data = data.subspan(part.size());
  }
  return core_ != nullptr ? status : status::kNoAnswer;
}

Result<Client> Client::NewThread() {
  if (core_ == nullptr) return Error{"cannot start a thread: the client has ended"};
  auto core = detail::ClientCore::Create(core_->machine(), core_->id(), "");
  if (!core) return core.error();
  return Client(*core);
}

uint64_t Client::process_id() const {
  return core_ != nullptr ? core_->process_id() : 0;
}

Result<void> Client::End(Milliseconds timeout) {
  if (core_ == nullptr) return {};
  auto core = std::exchange(core_, nullptr);
  return core->End(timeout);
}

}  // namespace bugcheck
