#include "client.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

constexpr ULONG kNoGroup = 0xFFFFFFFF;

}  // namespace

NTSTATUS Utf8Name::Set(const WCHAR* name, USHORT units) {
  ULONG used = 0;
  const NTSTATUS status = RtlUnicodeToUTF8N(bytes, sizeof bytes, &used, name, units * sizeof(WCHAR));
  length = static_cast<USHORT>(used);
  return status == STATUS_SUCCESS ? STATUS_SUCCESS : STATUS_OBJECT_NAME_INVALID;
}

NTSTATUS Client::Connect(ULONG first_line) {
  spare_fid_ = 0;
  next_fid_ = kRootFid + 1;  // a device extension is zeroed memory: no constructor ran
  NTSTATUS status = transport_.Initialize(first_line);
  if (!NT_SUCCESS(status)) return status;
  p9::Decoder reply(nullptr, 0);
  p9::Encoder version = transport_.Begin(p9::Type::kTversion);
  version.U32(kMessageSize).String({"9P2000.L", 8});
  status = transport_.Call(version, &reply);
  if (NT_SUCCESS(status)) {
    const ULONG size = reply.U32();
    const p9::Text name = reply.String();
    if (!reply.valid() || size != kMessageSize || name.length != 8 ||
        RtlCompareMemory(name.bytes, "9P2000.L", 8) != 8) {
      status = STATUS_DEVICE_PROTOCOL_ERROR;
    }
  }
  if (NT_SUCCESS(status)) {
    p9::Encoder attach = transport_.Begin(p9::Type::kTattach);
    attach.U32(kRootFid).U32(p9::kNoFid).String({"bugcheck", 8}).String({"", 0}).U32(0);
    status = transport_.Call(attach, &reply);
  }
  if (!NT_SUCCESS(status)) Disconnect();
  return status;
}

ULONG Client::NewFid() {
  const ULONG fid = next_fid_++;
  if (next_fid_ >= 0xFFFF0000) next_fid_ = kRootFid + 1;
  return fid;
}

void Client::Clunk(ULONG fid) {
  transport_.ClunkLater(fid);
}

NTSTATUS Client::Walk(ULONG directory, ULONG fid, const Utf8Name* name, p9::Qid* qid) {
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTwalk);
  request.U32(directory).U32(fid).U16(name != nullptr ? 1 : 0);
  if (name != nullptr) request.String(name->text());
  const NTSTATUS status = transport_.Call(request, &reply);
  if (!NT_SUCCESS(status) || name == nullptr) return status;
  if (reply.U16() != 1) return STATUS_OBJECT_NAME_NOT_FOUND;
  const p9::Qid found = reply.ReadQid();
  if (qid != nullptr) *qid = found;
  return reply.valid() ? STATUS_SUCCESS : STATUS_IO_DEVICE_ERROR;
}

NTSTATUS Client::Open(ULONG fid, ULONG flags) {
  transport_.Settle();
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTlopen);
  return transport_.Call(request.U32(fid).U32(flags | p9::kLargeFile), &reply);
}

NTSTATUS Client::TakeClone(ULONG directory, ULONG* fid) {
  if (spare_fid_ != 0) {
    *fid = spare_fid_;
    spare_fid_ = 0;
    const NTSTATUS status = transport_.FinishClone();
    if (NT_SUCCESS(status) && spare_directory_ == directory) return STATUS_SUCCESS;
    if (NT_SUCCESS(status)) Clunk(*fid);
  }
  *fid = NewFid();
  return Walk(directory, *fid, nullptr, nullptr);
}

NTSTATUS Client::CreateFile(ULONG directory, const Utf8Name& name, ULONG flags, ULONG mode, ULONG* fid) {
  NTSTATUS status = TakeClone(directory, fid);
  if (!NT_SUCCESS(status)) return status;
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTlcreate);
  request.U32(*fid).String(name.text()).U32(flags | p9::kLargeFile).U32(mode).U32(kNoGroup);
  status = transport_.Call(request, &reply);
  if (!NT_SUCCESS(status)) {
    Clunk(*fid);
    return status;
  }
  spare_directory_ = directory;
  spare_fid_ = NewFid();
  transport_.CloneLater(directory, spare_fid_);
  return STATUS_SUCCESS;
}

NTSTATUS Client::WriteBehind(ULONG fid, ULONG64 offset, const void* buffer, ULONG count) {
  if (transport_.WriteLater(fid, offset, buffer, count)) return STATUS_SUCCESS;
  ULONG done = 0;
  return Write(fid, offset, buffer, count, &done);
}

NTSTATUS Client::MakeDirectory(ULONG directory, const Utf8Name& name) {
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTmkdir);
  return transport_.Call(request.U32(directory).String(name.text()).U32(0755).U32(kNoGroup), &reply);
}

NTSTATUS Client::GetAttributes(ULONG fid, p9::Attributes* attributes) {
  transport_.Settle();
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTgetattr);
  const NTSTATUS status = transport_.Call(request.U32(fid).U64(p9::kGetattrBasic), &reply);
  if (!NT_SUCCESS(status)) return status;
  *attributes = reply.ReadAttributes();
  return reply.valid() ? STATUS_SUCCESS : STATUS_IO_DEVICE_ERROR;
}

NTSTATUS Client::SetAttributes(ULONG fid, const p9::SetAttributes& a) {
  transport_.Settle();
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTsetattr);
  request.U32(fid).U32(a.valid).U32(a.mode).U32(0).U32(0).U64(a.size);
  request.U64(a.access.seconds)
      .U64(a.access.nanoseconds)
      .U64(a.modification.seconds)
      .U64(a.modification.nanoseconds);
  return transport_.Call(request, &reply);
}

NTSTATUS Client::Read(ULONG fid, ULONG64 offset, void* buffer, ULONG count, ULONG* done) {
  *done = 0;
  transport_.Settle();
  while (*done < count) {
    const ULONG part = count - *done < kMaxTransfer ? count - *done : kMaxTransfer;
    p9::Decoder reply(nullptr, 0);
    p9::Encoder request = transport_.Begin(p9::Type::kTread);
    const NTSTATUS status = transport_.Call(request.U32(fid).U64(offset + *done).U32(part), &reply);
    if (!NT_SUCCESS(status)) return status;
    const ULONG got = reply.U32();
    const UCHAR* bytes = reply.Bytes(got);
    if (!reply.valid() || got > part) return STATUS_IO_DEVICE_ERROR;
    if (got == 0) return STATUS_SUCCESS;
    RtlCopyMemory(static_cast<char*>(buffer) + *done, bytes, got);
    *done += got;
  }
  return STATUS_SUCCESS;
}

NTSTATUS Client::Write(ULONG fid, ULONG64 offset, const void* buffer, ULONG count, ULONG* done) {
  *done = 0;
  transport_.Settle();
  while (*done < count) {
    const ULONG part = count - *done < kMaxTransfer ? count - *done : kMaxTransfer;
    p9::Decoder reply(nullptr, 0);
    p9::Encoder request = transport_.Begin(p9::Type::kTwrite);
    request.U32(fid).U64(offset + *done).U32(part);
    if (uint8_t* room = request.Reserve(part))
      RtlCopyMemory(room, static_cast<const char*>(buffer) + *done, part);
    const NTSTATUS status = transport_.Call(request, &reply);
    if (!NT_SUCCESS(status)) return status;
    const ULONG put = reply.U32();
    if (!reply.valid() || put > part) return STATUS_IO_DEVICE_ERROR;
    if (put == 0) return STATUS_DISK_FULL;
    *done += put;
  }
  return STATUS_SUCCESS;
}

NTSTATUS Client::ReadDirectory(ULONG fid, ULONG64 offset, p9::Decoder* entries) {
  transport_.Settle();
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTreaddir);
  const NTSTATUS status = transport_.Call(request.U32(fid).U64(offset).U32(kMaxTransfer), &reply);
  if (!NT_SUCCESS(status)) return status;
  const ULONG count = reply.U32();
  const UCHAR* bytes = reply.Bytes(count);
  *entries = p9::Decoder(bytes, bytes != nullptr ? count : 0);
  return reply.valid() ? STATUS_SUCCESS : STATUS_IO_DEVICE_ERROR;
}

NTSTATUS Client::Rename(ULONG directory, const Utf8Name& name, ULONG new_directory,
                        const Utf8Name& new_name) {
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTrenameat);
  request.U32(directory).String(name.text()).U32(new_directory).String(new_name.text());
  return transport_.Call(request, &reply);
}

NTSTATUS Client::Link(ULONG directory, ULONG fid, const Utf8Name& name) {
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTlink);
  return transport_.Call(request.U32(directory).U32(fid).String(name.text()), &reply);
}

NTSTATUS Client::Unlink(ULONG directory, const Utf8Name& name, bool is_directory) {
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTunlinkat);
  request.U32(directory).String(name.text()).U32(is_directory ? p9::kRemoveDirectory : 0);
  return transport_.Call(request, &reply);
}

NTSTATUS Client::Sync(ULONG fid) {
  const NTSTATUS late = transport_.Settle();
  if (!NT_SUCCESS(late)) return late;
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTfsync);
  return transport_.Call(request.U32(fid).U32(0), &reply);
}

NTSTATUS Client::GetStatistics(p9::Statistics* statistics) {
  transport_.Settle();
  p9::Decoder reply(nullptr, 0);
  p9::Encoder request = transport_.Begin(p9::Type::kTstatfs);
  const NTSTATUS status = transport_.Call(request.U32(kRootFid), &reply);
  if (!NT_SUCCESS(status)) return status;
  *statistics = reply.ReadStatistics();
  return reply.valid() ? STATUS_SUCCESS : STATUS_IO_DEVICE_ERROR;
}

}  // namespace hostfs
