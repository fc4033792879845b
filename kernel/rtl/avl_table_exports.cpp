// Generic tables on AVL trees. The tree hangs at the right of BalancedRoot, which is its own parent.
#include "rtl/rtl.h"

namespace {

using Link = RTL_BALANCED_LINKS;

constexpr ULONG kHeader = sizeof(RTL_BALANCED_LINKS);
static_assert(kHeader == 0x20);

PVOID DataOf(Link* node) {
  return node + 1;
}

void Replace(Link* node, Link* with) {
  if (node->Parent->LeftChild == node) {
    node->Parent->LeftChild = with;
  } else {
    node->Parent->RightChild = with;
  }
  if (with != nullptr) with->Parent = node->Parent;
}

// Lifts a node above its parent; balances are the caller's business.
void Rotate(Link* node) {
  Link* parent = node->Parent;
  const bool left = parent->LeftChild == node;
  Replace(parent, node);
  Link* middle = left ? node->RightChild : node->LeftChild;
  (left ? parent->LeftChild : parent->RightChild) = middle;
  if (middle != nullptr) middle->Parent = parent;
  (left ? node->RightChild : node->LeftChild) = parent;
  parent->Parent = node;
}

// Repairs a node whose `side` (-1 left, 1 right) is two levels higher than the other. Returns the top of the
// repaired part; *shorter tells whether it lost a level.
Link* Repair(Link* node, CHAR side, bool* shorter) {
  Link* child = side < 0 ? node->LeftChild : node->RightChild;
  if (child->Balance != -side) {
    Rotate(child);
    *shorter = child->Balance == side;
    node->Balance = *shorter ? 0 : side;
    child->Balance = *shorter ? 0 : static_cast<CHAR>(-side);
    return child;
  }
  Link* inner = side < 0 ? child->RightChild : child->LeftChild;
  Rotate(inner);
  Rotate(inner);
  node->Balance = inner->Balance == side ? static_cast<CHAR>(-side) : 0;
  child->Balance = inner->Balance == -side ? side : 0;
  inner->Balance = 0;
  *shorter = true;
  return inner;
}

void InsertNode(PRTL_AVL_TABLE table, Link* node, Link* parent, TABLE_SEARCH_RESULT where) {
  if (where == TableEmptyTree) parent = &table->BalancedRoot;
  node->Parent = parent;
  (where == TableInsertAsLeft ? parent->LeftChild : parent->RightChild) = node;
  if (where == TableEmptyTree) {
    table->DepthOfTree = 1;
    return;
  }
  // Each ancestor on the way up got one level more on one side, until one was lower there.
  for (Link* at = node; at->Parent != &table->BalancedRoot; at = at->Parent) {
    Link* up = at->Parent;
    const CHAR side = up->LeftChild == at ? -1 : 1;
    if (up->Balance == -side) {
      up->Balance = 0;
      return;
    }
    if (up->Balance == side) {
      bool shorter;
      Repair(up, side, &shorter);
      return;
    }
    up->Balance = side;
  }
  ++table->DepthOfTree;
}

Link* Successor(PRTL_AVL_TABLE table, Link* node) {
  if (node->RightChild != nullptr) {
    for (node = node->RightChild; node->LeftChild != nullptr;) node = node->LeftChild;
    return node;
  }
  while (node->Parent != &table->BalancedRoot && node->Parent->RightChild == node) node = node->Parent;
  return node->Parent != &table->BalancedRoot ? node->Parent : nullptr;
}

Link* Predecessor(PRTL_AVL_TABLE table, Link* node) {
  if (node->LeftChild != nullptr) {
    for (node = node->LeftChild; node->RightChild != nullptr;) node = node->RightChild;
    return node;
  }
  while (node->Parent != &table->BalancedRoot && node->Parent->LeftChild == node) node = node->Parent;
  return node->Parent != &table->BalancedRoot ? node->Parent : nullptr;
}

Link* First(PRTL_AVL_TABLE table) {
  Link* node = table->BalancedRoot.RightChild;
  while (node != nullptr && node->LeftChild != nullptr) node = node->LeftChild;
  return node;
}

// The given side of `up` lost a level: rebalances from there to the root.
void Shrink(PRTL_AVL_TABLE table, Link* up, CHAR side) {
  while (up != &table->BalancedRoot) {
    Link* top = up;
    bool shorter = true;
    if (up->Balance == 0) {
      up->Balance = static_cast<CHAR>(-side);
      return;
    }
    if (up->Balance == side) {
      up->Balance = 0;
    } else {
      top = Repair(up, static_cast<CHAR>(-side), &shorter);
    }
    if (!shorter) return;
    up = top->Parent;
    side = up->LeftChild == top ? -1 : 1;
  }
  --table->DepthOfTree;
}

void RemoveNode(PRTL_AVL_TABLE table, Link* node) {
  if (node->LeftChild != nullptr && node->RightChild != nullptr) {
    // The successor takes the node's place and balance.
    Link* stand_in = Successor(table, node);
    const bool direct = stand_in->Parent == node;
    Link* up = direct ? stand_in : stand_in->Parent;
    Replace(stand_in, stand_in->RightChild);
    Replace(node, stand_in);
    stand_in->Balance = node->Balance;
    stand_in->LeftChild = node->LeftChild;
    stand_in->LeftChild->Parent = stand_in;
    stand_in->RightChild = node->RightChild;
    if (stand_in->RightChild != nullptr) stand_in->RightChild->Parent = stand_in;
    Shrink(table, up, direct ? 1 : -1);
    return;
  }
  Link* up = node->Parent;
  const CHAR side = up->LeftChild == node ? -1 : 1;
  Replace(node, node->LeftChild != nullptr ? node->LeftChild : node->RightChild);
  Shrink(table, up, side);
}

TABLE_SEARCH_RESULT Search(PRTL_AVL_TABLE table, PVOID key, Link** node) {
  Link* at = table->BalancedRoot.RightChild;
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
/// Source: WDK ntddk/RtlInitializeGenericTableAvl.
NT_EXPORT(RtlInitializeGenericTableAvl, nt::AtMost(DISPATCH_LEVEL), Full, "RtlTable.*");
VOID NTAPI RtlInitializeGenericTableAvl(PRTL_AVL_TABLE Table, PRTL_AVL_COMPARE_ROUTINE CompareRoutine,
                                        PRTL_AVL_ALLOCATE_ROUTINE AllocateRoutine,
                                        PRTL_AVL_FREE_ROUTINE FreeRoutine, PVOID TableContext) {
  *Table = {};
  Table->BalancedRoot.Parent = &Table->BalancedRoot;
  Table->CompareRoutine = CompareRoutine;
  Table->AllocateRoutine = AllocateRoutine;
  Table->FreeRoutine = FreeRoutine;
  Table->TableContext = TableContext;
}

/// Finds an element, or where it would go.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlLookupElementGenericTableFullAvl.
NT_EXPORT(RtlLookupElementGenericTableFullAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlLookupElementGenericTableFullAvl(PRTL_AVL_TABLE Table, PVOID Buffer, PVOID* NodeOrParent,
                                                TABLE_SEARCH_RESULT* SearchResult) {
  RTL_BALANCED_LINKS* node = nullptr;
  *SearchResult = Search(Table, Buffer, &node);
  *NodeOrParent = node;
  return *SearchResult == TableFoundNode ? DataOf(node) : nullptr;
}

/// Finds an element; 0 if there is none.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlLookupElementGenericTableAvl.
NT_EXPORT(RtlLookupElementGenericTableAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlLookupElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer) {
  PVOID node;
  TABLE_SEARCH_RESULT result;
  return RtlLookupElementGenericTableFullAvl(Table, Buffer, &node, &result);
}

/// Inserts a copy of an element where a full look-up said, or returns the one that is there.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInsertElementGenericTableFullAvl.
NT_EXPORT(RtlInsertElementGenericTableFullAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlInsertElementGenericTableFullAvl(PRTL_AVL_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                                PBOOLEAN NewElement, PVOID NodeOrParent,
                                                TABLE_SEARCH_RESULT SearchResult) {
  auto* node = static_cast<RTL_BALANCED_LINKS*>(NodeOrParent);
  if (NewElement != nullptr) *NewElement = SearchResult != TableFoundNode;
  if (SearchResult != TableFoundNode) {
    auto* parent = node;
    node = static_cast<RTL_BALANCED_LINKS*>(Table->AllocateRoutine(Table, kHeader + BufferSize));
    if (node == nullptr) {
      if (NewElement != nullptr) *NewElement = FALSE;
      return nullptr;
    }
    *node = {};
    __builtin_memcpy(DataOf(node), Buffer, BufferSize);
    InsertNode(Table, node, parent, SearchResult);
    ++Table->NumberGenericTableElements;
    Table->OrderedPointer = nullptr;
  }
  return DataOf(node);
}

/// Inserts a copy of an element, or returns the one that is there; 0 when there is no memory.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInsertElementGenericTableAvl.
NT_EXPORT(RtlInsertElementGenericTableAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlInsertElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                            PBOOLEAN NewElement) {
  RTL_BALANCED_LINKS* node = nullptr;
  const TABLE_SEARCH_RESULT result = Search(Table, Buffer, &node);
  return RtlInsertElementGenericTableFullAvl(Table, Buffer, BufferSize, NewElement, node, result);
}

/// Removes an element and frees it; FALSE if there is none.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlDeleteElementGenericTableAvl.
NT_EXPORT(RtlDeleteElementGenericTableAvl, nt::AnyIrql(), Full, "RtlTable.*");
BOOLEAN NTAPI RtlDeleteElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer) {
  RTL_BALANCED_LINKS* node = nullptr;
  if (Search(Table, Buffer, &node) != TableFoundNode) return FALSE;
  if (Table->RestartKey == node) Table->RestartKey = Predecessor(Table, node);
  ++Table->DeleteCount;
  RemoveNode(Table, node);
  Table->OrderedPointer = nullptr;
  --Table->NumberGenericTableElements;
  Table->FreeRoutine(Table, node);
  return TRUE;
}

/// Returns the next element in order, from the first when *RestartKey is 0; 0 at the end. Changes nothing
/// in the table.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEnumerateGenericTableWithoutSplayingAvl.
NT_EXPORT(RtlEnumerateGenericTableWithoutSplayingAvl, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlEnumerateGenericTableWithoutSplayingAvl(PRTL_AVL_TABLE Table, PVOID* RestartKey) {
  auto* node = static_cast<RTL_BALANCED_LINKS*>(*RestartKey);
  node = node == nullptr ? First(Table) : Successor(Table, node);
  if (node == nullptr) return nullptr;
  *RestartKey = node;
  return DataOf(node);
}

/// Returns the first or the next element in order; 0 at the end. Survives the removal of the current
/// element.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEnumerateGenericTableAvl.
NT_EXPORT(RtlEnumerateGenericTableAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
PVOID NTAPI RtlEnumerateGenericTableAvl(PRTL_AVL_TABLE Table, BOOLEAN Restart) {
  if (Restart) Table->RestartKey = nullptr;
  PVOID key = Table->RestartKey;
  PVOID data = RtlEnumerateGenericTableWithoutSplayingAvl(Table, &key);
  if (data != nullptr) Table->RestartKey = static_cast<PRTL_BALANCED_LINKS>(key);
  return data;
}

/// Returns the element of an index, in order; 0 beyond the end.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlGetElementGenericTableAvl.
NT_EXPORT(RtlGetElementGenericTableAvl, nt::AnyIrql(), Full, "RtlTable.*");
PVOID NTAPI RtlGetElementGenericTableAvl(PRTL_AVL_TABLE Table, ULONG I) {
  PVOID key = nullptr;
  PVOID data = nullptr;
  if (I >= Table->NumberGenericTableElements) return nullptr;
  for (ULONG i = 0; i <= I; ++i) data = RtlEnumerateGenericTableWithoutSplayingAvl(Table, &key);
  return data;
}

/// Returns the number of elements.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlNumberGenericTableElementsAvl.
NT_EXPORT(RtlNumberGenericTableElementsAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
ULONG NTAPI RtlNumberGenericTableElementsAvl(PRTL_AVL_TABLE Table) {
  return Table->NumberGenericTableElements;
}

/// Tells whether there is no element.
/// IRQL: as the documentation says; any where table and callbacks are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlIsGenericTableEmptyAvl.
NT_EXPORT(RtlIsGenericTableEmptyAvl, nt::AtMost(APC_LEVEL), Full, "RtlTable.*");
BOOLEAN NTAPI RtlIsGenericTableEmptyAvl(PRTL_AVL_TABLE Table) {
  return Table->NumberGenericTableElements == 0;
}

}  // extern "C"
