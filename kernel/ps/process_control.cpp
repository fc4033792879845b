// Requests of the host: programs started, listed and ended from outside.
#include "kd/control.h"
#include "ktl/payload.h"
#include "program.h"

namespace ps {
namespace {

constexpr ULONG kTag = 'cPsP';

// A text of the host as UTF-16 in pool.
class Wide {
 public:
  explicit Wide(const ktl::Text& text) {
    ULONG bytes = 0;
    if (text.length == 0 || !NT_SUCCESS(RtlUTF8ToUnicodeN(nullptr, 0, &bytes, text.data, text.length)))
      return;
    if (bytes > 0x7FFE) return;
    auto* buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes + sizeof(WCHAR), kTag));
    if (buffer == nullptr) return;
    (void)RtlUTF8ToUnicodeN(buffer, bytes, &bytes, text.data, text.length);
    string_ = {static_cast<USHORT>(bytes), static_cast<USHORT>(bytes), buffer};
  }
  ~Wide() {
    if (string_.Buffer != nullptr) ExFreePoolWithTag(string_.Buffer, kTag);
  }
  Wide(const Wide&) = delete;
  Wide& operator=(const Wide&) = delete;
  const UNICODE_STRING& string() const { return string_; }

 private:
  UNICODE_STRING string_ = {};
};

HANDLE IdOf(ULONG64 value) {
  return reinterpret_cast<HANDLE>(static_cast<ULONG_PTR>(value));
}

NTSTATUS HandleStart(kd::RequestReader& request, kd::ReplyWriter& reply) {
  const Wide image(request.String());
  const Wide command_line(request.String());
  const ULONG64 parent = request.U64();
  const ULONG session = request.U32();
  const ULONG account = request.U32();
  const bool inherit = request.U32() != 0;
  if (request.Failed() || account > static_cast<ULONG>(se::Account::kUser)) return STATUS_INVALID_PARAMETER;
  PEPROCESS process;
  const NTSTATUS status = StartProgram({image.string(), command_line.string(), IdOf(parent), session,
                                        static_cast<se::Account>(account), inherit},
                                       &process);
  if (!NT_SUCCESS(status)) return status;
  reply.U64(reinterpret_cast<ULONG64>(process->UniqueProcessId));
  ObfDereferenceObject(process);
  return status;
}

NTSTATUS HandleStop(kd::RequestReader& request, kd::ReplyWriter&) {
  const HANDLE id = IdOf(request.U64());
  const NTSTATUS exit_status = static_cast<NTSTATUS>(request.U32());
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  PEPROCESS process;
  NTSTATUS status = PsLookupProcessByProcessId(id, &process);
  if (!NT_SUCCESS(status)) return status;
  HANDLE handle;
  status = ObOpenObjectByPointer(process, OBJ_KERNEL_HANDLE, nullptr, PROCESS_TERMINATE, PsProcessType,
                                 KernelMode, &handle);
  if (NT_SUCCESS(status)) {
    status = ZwTerminateProcess(handle, exit_status);
    ZwClose(handle);
  }
  // When the answer comes it is over: a driver's threads in it are the driver's affair.
  if (NT_SUCCESS(status) && process->Peb != nullptr)
    KeWaitForSingleObject(process, Executive, KernelMode, FALSE, nullptr);
  ObfDereferenceObject(process);
  return status;
}

NTSTATUS HandleQuery(kd::RequestReader& request, kd::ReplyWriter& reply) {
  const HANDLE id = IdOf(request.U64());
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  NTSTATUS exit_status = STATUS_PENDING;
  ULONG threads = 0;
  PEPROCESS process;
  if (!LookupEnded(id, &exit_status)) {
    const NTSTATUS status = PsLookupProcessByProcessId(id, &process);
    if (!NT_SUCCESS(status)) return status;
    threads = process->ActiveThreads;
    ObfDereferenceObject(process);
  }
  reply.U32(static_cast<ULONG>(exit_status));
  reply.U32(threads);
  return STATUS_SUCCESS;
}

NTSTATUS HandleThread(kd::RequestReader& request, kd::ReplyWriter& reply) {
  const HANDLE id = IdOf(request.U64());
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  PEPROCESS process;
  NTSTATUS status = PsLookupProcessByProcessId(id, &process);
  if (!NT_SUCCESS(status)) return status;
  HANDLE thread = nullptr;
  status = StartProgramThread(process, &thread);
  ObfDereferenceObject(process);
  reply.U64(reinterpret_cast<ULONG64>(thread));
  return status;
}

NTSTATUS HandleList(kd::RequestReader&, kd::ReplyWriter& reply) {
  EnumerateProcesses(
      [](PEPROCESS process, PVOID context) {
        auto* writer = static_cast<kd::ReplyWriter*>(context);
        writer->U64(reinterpret_cast<ULONG64>(process->UniqueProcessId));
        writer->U64(reinterpret_cast<ULONG64>(process->InheritedFromUniqueProcessId));
        writer->U32(process->SessionId);
        writer->U32(process->ActiveThreads);
        writer->U32(static_cast<ULONG>(process->ExitStatus));
        const auto* name = reinterpret_cast<const char*>(process->ImageFileName);
        ULONG length = 0;
        while (length < sizeof(process->ImageFileName) && name[length] != 0) ++length;
        writer->String(name, length);
        return true;
      },
      &reply);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS InitProcessControl() {
  InitUserMode();
  kd::RegisterRequestHandler(boot::Request::kProcessStart, HandleStart);
  kd::RegisterRequestHandler(boot::Request::kProcessStop, HandleStop);
  kd::RegisterRequestHandler(boot::Request::kProcessThread, HandleThread);
  kd::RegisterRequestHandler(boot::Request::kProcessList, HandleList);
  kd::RegisterRequestHandler(boot::Request::kProcessQuery, HandleQuery);
  return STATUS_SUCCESS;
}

}  // namespace ps
