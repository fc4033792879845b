// Programs in the machine: a Client is a thread of a user process there, with memory and handles of that
// process; what it asks of a driver arrives with previous mode User and user addresses. Everything here
// belongs to the thread that uses the machine; many requests at once are many Requests, not many threads of
// yours.
//
// Buffers that you hand over are put into the process's memory so that each ends where no page is: a driver
// that reads or writes beyond the length it was told faults, as it would sooner or later in the field.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bugcheck/ioctl.h"
#include "bugcheck/result.h"

namespace bugcheck {

namespace detail {
class MachineCore;
class ClientCore;
struct RequestCore;
}  // namespace detail

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;
using Milliseconds = std::chrono::milliseconds;

// How long a call waits when nothing else is said. A hang of the driver shows as kNoAnswer after this time.
inline constexpr Milliseconds kDefaultTimeout{60'000};
// The longest input or output of one request whose bytes travel along; larger ones use Client::Allocate.
inline constexpr size_t kMaxTransfer = 56 * 1024;

// The bytes of a trivially copyable value, for inputs.
template <typename T>
ByteView AsBytes(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}

// What came of a request.
struct IoResult {
  Status status;
  uint64_t information = 0;  // IoStatus.Information
  Bytes data;                // what the driver returned: the first `information` bytes of the output
  bool was_pending = false;  // the driver had returned STATUS_PENDING
  std::string note;          // with kNoAnswer: why

  bool ok() const { return status.ok(); }
  // The data as a T; zeros behind what came.
  template <typename T>
  T As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    std::memcpy(&value, data.data(), data.size() < sizeof(T) ? data.size() : sizeof(T));
    return value;
  }
};
std::ostream& operator<<(std::ostream& stream, const IoResult& result);

// A request on its way. Dropping it forgets the answer; the driver keeps the request.
class Request {
 public:
  Request() = default;
  // Whether the answer is there. Never blocks.
  bool Done();
  // The answer; kNoAnswer when it does not come in time (call again to wait longer).
  IoResult Wait(Milliseconds timeout = kDefaultTimeout);
  // CancelIoEx for this request: kNotFound when it was complete already. The request's own answer still
  // comes.
  Status Cancel();

 private:
  friend class detail::ClientCore;
  friend class File;
  explicit Request(std::shared_ptr<detail::RequestCore> core) : core_(std::move(core)) {}
  std::shared_ptr<detail::RequestCore> core_;
};

struct OpenOptions {
  uint32_t access = kGenericRead | kGenericWrite | kSynchronize;
  uint32_t share = kShareRead | kShareWrite;
  uint32_t disposition = kOpenExisting;
  uint32_t create_options = 0;  // FILE_*
  // A file for synchronous I/O, as CreateFile opens without FILE_FLAG_OVERLAPPED: the client's thread waits
  // in the driver, and performs nothing else until then. The default is an overlapped file; calls of File
  // wait for it all the same.
  bool synchronous = false;
  // For hostile tests: the length in bytes that the name claims to have.
  std::optional<uint16_t> claimed_name_length;
};

// Addresses of the process, passed to the driver as they are, good or bad.
struct RawBuffers {
  uint64_t input = 0;
  uint32_t input_length = 0;
  uint64_t output = 0;
  uint32_t output_length = 0;
};

// An open handle. Closes itself (and waits for that) when it goes out of scope.
class File {
 public:
  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  // DeviceIoControl. `output_size`: bytes of the output buffer, zeroed.
  IoResult Ioctl(uint32_t code, ByteView input = {}, size_t output_size = 0);
  // With METHOD_IN_DIRECT the output buffer carries data to the driver: this is its content.
  IoResult IoctlDirect(uint32_t code, ByteView input, ByteView output);
  IoResult IoctlRaw(uint32_t code, const RawBuffers& buffers);
  IoResult Read(size_t size, std::optional<uint64_t> offset = {});
  IoResult Write(ByteView data, std::optional<uint64_t> offset = {});

  // The same without waiting.
  Request StartIoctl(uint32_t code, ByteView input = {}, size_t output_size = 0);
  Request StartIoctlRaw(uint32_t code, const RawBuffers& buffers);
  Request StartRead(size_t size, std::optional<uint64_t> offset = {});
  Request StartWrite(ByteView data, std::optional<uint64_t> offset = {});
  // CancelIo: all requests of this handle that its client has started; kNotFound when there are none.
  Status CancelAll();

  Status Close();
  // Starts the close and forgets the handle, whatever the driver does with it: for races.
  Request StartClose();
  bool is_open() const { return client_ != nullptr; }
  uint64_t handle() const { return handle_; }

 private:
  friend class Client;
  File(std::shared_ptr<detail::ClientCore> client, uint64_t handle)
      : client_(std::move(client)), handle_(handle) {}
  std::shared_ptr<detail::ClientCore> client_;
  uint64_t handle_ = 0;
};

// A thread of a user process. Ends when it goes out of scope; with the last one of its process the process
// ends, and with it its handles are closed.
class Client {
 public:
  Client() = default;
  Client(Client&& other) noexcept = default;
  Client& operator=(Client&& other) noexcept = default;

  // CreateFile: L"\\\\.\\Name", L"C:\\file", or an NT path (L"\\Device\\Name").
  Result<File> Open(std::wstring_view path, const OpenOptions& options = {});
  // Any number as a handle: of another thread of this process, or none at all. Does not close it.
  IoResult IoctlOnHandle(uint64_t handle, uint32_t code, ByteView input = {}, size_t output_size = 0);
  Request StartIoctlOnHandle(uint64_t handle, uint32_t code, ByteView input = {}, size_t output_size = 0);
  Request StartIoctlRawOnHandle(uint64_t handle, uint32_t code, const RawBuffers& buffers);
  Status CloseHandle(uint64_t handle);

  // Memory of the process, for raw buffers: pages, zeroed.
  Result<uint64_t> Allocate(size_t bytes, uint32_t protection = kPageReadWrite);
  Status Free(uint64_t address);
  Status Protect(uint64_t address, size_t bytes, uint32_t protection);
  Result<Bytes> ReadMemory(uint64_t address, size_t bytes);
  Status WriteMemory(uint64_t address, ByteView data);

  // One more thread of the same process.
  Result<Client> NewThread();
  uint64_t process_id() const;
  // Ends it now; an Error when its thread does not leave a driver in time.
  Result<void> End(Milliseconds timeout = kDefaultTimeout);

 private:
  friend class File;
  friend class Machine;
  explicit Client(std::shared_ptr<detail::ClientCore> core) : core_(std::move(core)) {}
  std::shared_ptr<detail::ClientCore> core_;
};

}  // namespace bugcheck
