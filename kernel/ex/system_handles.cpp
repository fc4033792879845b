// The handles of all processes, as ZwQuerySystemInformation tells of them.
#include "information_answer.h"
#include "ob/ob.h"
#include "ps/ps.h"

namespace {

using ex::Answer, ex::Snapshot;

struct Handle {
  HANDLE value, process;
  PVOID object;
  ULONG access, attributes;
  UCHAR type;
};
using Handles = Snapshot<Handle>;

struct TableWalk {
  Handles* handles;
  HANDLE process;
};

void AddTable(HANDLE_TABLE* table, HANDLE process, Handles* handles) {
  TableWalk walk = {handles, process};
  ob::EnumerateHandles(
      table,
      [](HANDLE value, PVOID object, const HANDLE_TABLE_ENTRY& entry, PVOID context) {
        auto* walk = static_cast<TableWalk*>(context);
        walk->handles->Add({value, walk->process, object, entry.GrantedAccessBits, entry.Attributes,
                            ObjectToHeader(object)->TypeIndex});
      },
      &walk);
}

// A table lives as long as its process's object, which the walk refers to.
void AddAll(Handles* handles) {
  ps::EnumerateProcesses(
      [](PEPROCESS process, PVOID context) {
        if (process->ObjectTable != nullptr)
          AddTable(process->ObjectTable, process->UniqueProcessId, static_cast<Handles*>(context));
        return true;
      },
      handles);
}

void Put(Answer* answer, const Handle& handle) {
  SYSTEM_HANDLE_TABLE_ENTRY_INFO information = {};
  information.Object = handle.object;
  information.UniqueProcessId = static_cast<USHORT>(reinterpret_cast<ULONG_PTR>(handle.process));
  information.HandleValue = static_cast<USHORT>(reinterpret_cast<ULONG_PTR>(handle.value));
  information.GrantedAccess = handle.access;
  information.ObjectTypeIndex = handle.type;
  information.HandleAttributes = static_cast<UCHAR>(handle.attributes);
  answer->Append(&information, sizeof information);
}

void PutExtended(Answer* answer, const Handle& handle) {
  SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX information = {};
  information.Object = handle.object;
  information.UniqueProcessId = reinterpret_cast<ULONG_PTR>(handle.process);
  information.HandleValue = reinterpret_cast<ULONG_PTR>(handle.value);
  information.GrantedAccess = handle.access;
  information.ObjectTypeIndex = handle.type;
  information.HandleAttributes = handle.attributes;
  answer->Append(&information, sizeof information);
}

}  // namespace

NTSTATUS ex::QueryHandles(Answer* answer, bool extended) {
  Handles handles;
  const NTSTATUS status = handles.Take(AddAll);
  if (!NT_SUCCESS(status)) return status;
  const ULONG_PTR head[2] = {handles.count(), 0};
  answer->Append(head, extended ? sizeof head : sizeof(ULONG));
  answer->AlignTo(8);
  for (ULONG i = 0; i < handles.count(); ++i) {
    if (extended) {
      PutExtended(answer, handles[i]);
    } else {
      Put(answer, handles[i]);
    }
  }
  return STATUS_SUCCESS;
}
