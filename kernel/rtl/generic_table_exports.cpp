// Generic tables on splay trees: an element is its links, its place in the order of insertion, and the
// caller's bytes.
#include "rtl/rtl.h"

extern "C" {
PRTL_SPLAY_LINKS NTAPI RtlSplay(PRTL_SPLAY_LINKS Links);
PRTL_SPLAY_LINKS NTAPI RtlDelete(PRTL_SPLAY_LINKS Links);
PRTL_SPLAY_LINKS NTAPI RtlRealSuccessor(PRTL_SPLAY_LINKS Links);
}

namespace {

constexpr ULONG kHeader = sizeof(RTL_SPLAY_LINKS) + sizeof(LIST_ENTRY);
static_assert(kHeader == 0x28);

PLIST_ENTRY OrderOf(RTL_SPLAY_LINKS* node) {
  return reinterpret_cast<PLIST_ENTRY>(node + 1);
}
PVOID DataOf(RTL_SPLAY_LINKS* node) {
  return OrderOf(node) + 1;
}

void AppendToOrder(PRTL_GENERIC_TABLE table, PLIST_ENTRY entry) {
  entry->Flink = &table->InsertOrderList;
  entry->Blink = table->InsertOrderList.Blink;
  entry->Blink->Flink = entry;
  table->InsertOrderList.Blink = entry;
}

RTL_SPLAY_LINKS* First(RTL_SPLAY_LINKS* node) {
  while (node != nullptr && node->LeftChild != nullptr) node = node->LeftChild;
  return node;
}

TABLE_SEARCH_RESULT Search(PRTL_GENERIC_TABLE table, PVOID key, RTL_SPLAY_LINKS** node) {
  RTL_SPLAY_LINKS* at = table->TableRoot;
  *node = nullptr;
  TABLE_SEARCH_RESULT result = TableEmptyTree;
  while (at != nullptr) {
    *node = at;
    const RTL_GENERIC_COMPARE_RESULTS order = table->CompareRoutine(table, key, DataOf(at));
    if (order == GenericEqual) return TableFoundNode;
    result = order == GenericLessThan ? TableInsertAsLeft : TableInsertAsRight;
    at = order == GenericLessThan ? at->LeftChild : at->RightChild;
  }
  return result;
}

}  // namespace

extern "C" {

/// Makes an empty table.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInitializeGenericTable.
NT_EXPORT(RtlInitializeGenericTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlTable.*");
VOID NTAPI RtlInitializeGenericTable(PRTL_GENERIC_TABLE Table, PRTL_GENERIC_COMPARE_ROUTINE CompareRoutine,
                                     PRTL_GENERIC_ALLOCATE_ROUTINE AllocateRoutine,
                                     PRTL_GENERIC_FREE_ROUTINE FreeRoutine, PVOID TableContext) {
  *Table = {};
  Table->InsertOrderList.Flink = Table->InsertOrderList.Blink = &Table->InsertOrderList;
  Table->OrderedPointer = &Table->InsertOrderList;
  Table->CompareRoutine = CompareRoutine;
  Table->AllocateRoutine = AllocateRoutine;
  Table->FreeRoutine = FreeRoutine;
  Table->TableContext = TableContext;
}

/// Finds an element, or where it would go.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlLookupElementGenericTableFull.
NT_EXPORT(RtlLookupElementGenericTableFull, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlLookupElementGenericTableFull(PRTL_GENERIC_TABLE Table, PVOID Buffer, PVOID* NodeOrParent,
                                             TABLE_SEARCH_RESULT* SearchResult) {
  RTL_SPLAY_LINKS* node = nullptr;
  *SearchResult = Search(Table, Buffer, &node);
  if (node != nullptr) Table->TableRoot = RtlSplay(node);
  *NodeOrParent = node;
  return *SearchResult == TableFoundNode ? DataOf(node) : nullptr;
}

/// Finds an element; 0 if there is none.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlLookupElementGenericTable.
NT_EXPORT(RtlLookupElementGenericTable, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlLookupElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer) {
  PVOID node;
  TABLE_SEARCH_RESULT result;
  return RtlLookupElementGenericTableFull(Table, Buffer, &node, &result);
}

/// Inserts a copy of an element where a full look-up said, or returns the one that is there.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInsertElementGenericTableFull.
NT_EXPORT(RtlInsertElementGenericTableFull, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlInsertElementGenericTableFull(PRTL_GENERIC_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                             PBOOLEAN NewElement, PVOID NodeOrParent,
                                             TABLE_SEARCH_RESULT SearchResult) {
  auto* node = static_cast<RTL_SPLAY_LINKS*>(NodeOrParent);
  if (NewElement != nullptr) *NewElement = SearchResult != TableFoundNode;
  if (SearchResult != TableFoundNode) {
    auto* parent = node;
    node = static_cast<RTL_SPLAY_LINKS*>(Table->AllocateRoutine(Table, kHeader + BufferSize));
    if (node == nullptr) {
      if (NewElement != nullptr) *NewElement = FALSE;
      return nullptr;
    }
    *node = {};
    __builtin_memcpy(DataOf(node), Buffer, BufferSize);
    AppendToOrder(Table, OrderOf(node));
    node->Parent = SearchResult == TableEmptyTree ? node : parent;
    if (SearchResult == TableInsertAsLeft) parent->LeftChild = node;
    if (SearchResult == TableInsertAsRight) parent->RightChild = node;
    ++Table->NumberGenericTableElements;
  }
  Table->TableRoot = RtlSplay(node);
  return DataOf(node);
}

/// Inserts a copy of an element, or returns the one that is there; 0 when there is no memory.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInsertElementGenericTable.
NT_EXPORT(RtlInsertElementGenericTable, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlInsertElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                         PBOOLEAN NewElement) {
  RTL_SPLAY_LINKS* node = nullptr;
  const TABLE_SEARCH_RESULT result = Search(Table, Buffer, &node);
  return RtlInsertElementGenericTableFull(Table, Buffer, BufferSize, NewElement, node, result);
}

/// Removes an element and frees it; FALSE if there is none.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlDeleteElementGenericTable.
NT_EXPORT(RtlDeleteElementGenericTable, nt::AnyIrql(), Full, "RtlTable.*");
BOOLEAN NTAPI RtlDeleteElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer) {
  RTL_SPLAY_LINKS* node = nullptr;
  if (Search(Table, Buffer, &node) != TableFoundNode) return FALSE;
  Table->TableRoot = RtlDelete(node);
  PLIST_ENTRY order = OrderOf(node);
  order->Blink->Flink = order->Flink;
  order->Flink->Blink = order->Blink;
  Table->OrderedPointer = &Table->InsertOrderList;
  Table->WhichOrderedElement = 0;
  --Table->NumberGenericTableElements;
  Table->FreeRoutine(Table, node);
  return TRUE;
}

/// Returns the next element in order, from the first when *RestartKey is 0; 0 at the end. Changes nothing
/// in the table.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEnumerateGenericTableWithoutSplaying.
NT_EXPORT(RtlEnumerateGenericTableWithoutSplaying, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlEnumerateGenericTableWithoutSplaying(PRTL_GENERIC_TABLE Table, PVOID* RestartKey) {
  auto* node = static_cast<RTL_SPLAY_LINKS*>(*RestartKey);
  node = node == nullptr ? First(Table->TableRoot) : RtlRealSuccessor(node);
  if (node == nullptr) return nullptr;
  *RestartKey = node;
  return DataOf(node);
}

/// Returns the first or the next element in order, splaying as it goes; 0 at the end.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEnumerateGenericTable.
NT_EXPORT(RtlEnumerateGenericTable, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlEnumerateGenericTable(PRTL_GENERIC_TABLE Table, BOOLEAN Restart) {
  if (Table->TableRoot == nullptr) return nullptr;
  auto* node = Restart ? First(Table->TableRoot) : RtlRealSuccessor(Table->TableRoot);
  if (node == nullptr) return nullptr;
  Table->TableRoot = RtlSplay(node);
  return DataOf(node);
}

/// Returns the element of an index, in the order of insertion; 0 beyond the end.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlGetElementGenericTable.
NT_EXPORT(RtlGetElementGenericTable, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlGetElementGenericTable(PRTL_GENERIC_TABLE Table, ULONG I) {
  if (I >= Table->NumberGenericTableElements) return nullptr;
  PLIST_ENTRY entry = Table->InsertOrderList.Flink;
  for (; I != 0; --I) entry = entry->Flink;
  return reinterpret_cast<UCHAR*>(entry) + sizeof(LIST_ENTRY);
}

/// Returns the number of elements.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlNumberGenericTableElements.
NT_EXPORT(RtlNumberGenericTableElements, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
ULONG NTAPI RtlNumberGenericTableElements(PRTL_GENERIC_TABLE Table) {
  return Table->NumberGenericTableElements;
}

/// Tells whether there is no element.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlIsGenericTableEmpty.
NT_EXPORT(RtlIsGenericTableEmpty, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
BOOLEAN NTAPI RtlIsGenericTableEmpty(PRTL_GENERIC_TABLE Table) {
  return Table->NumberGenericTableElements == 0;
}

}  // extern "C"
