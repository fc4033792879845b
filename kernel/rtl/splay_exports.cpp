// Splay trees: nodes with parent links, the root's parent being itself. The caller locks.
#include "rtl/rtl.h"

namespace {

using Link = RTL_SPLAY_LINKS;

bool IsRoot(const Link* node) {
  return node->Parent == node;
}
bool IsLeft(const Link* node) {
  return node->Parent->LeftChild == node;
}

void SetLeft(Link* node, Link* child) {
  node->LeftChild = child;
  if (child != nullptr) child->Parent = node;
}

void SetRight(Link* node, Link* child) {
  node->RightChild = child;
  if (child != nullptr) child->Parent = node;
}

// Puts `with` where `node` hangs; as root, if it was one.
void Replace(Link* node, Link* with) {
  if (IsRoot(node)) {
    if (with != nullptr) with->Parent = with;
  } else if (IsLeft(node)) {
    SetLeft(node->Parent, with);
  } else {
    SetRight(node->Parent, with);
  }
}

// Lifts a node above its parent.
void Rotate(Link* node) {
  Link* parent = node->Parent;
  const bool left = IsLeft(node);
  Replace(parent, node);
  if (left) {
    SetLeft(parent, node->RightChild);
    SetRight(node, parent);
  } else {
    SetRight(parent, node->LeftChild);
    SetLeft(node, parent);
  }
}

Link* Leftmost(Link* node) {
  while (node->LeftChild != nullptr) node = node->LeftChild;
  return node;
}

Link* Rightmost(Link* node) {
  while (node->RightChild != nullptr) node = node->RightChild;
  return node;
}

// Takes a node out; returns the node at which the tree changed, 0 if the tree is empty now.
Link* Remove(Link* node) {
  if (node->LeftChild != nullptr && node->RightChild != nullptr) {
    // The predecessor takes the node's place.
    Link* stand_in = Rightmost(node->LeftChild);
    Link* changed = stand_in->Parent == node ? stand_in : stand_in->Parent;
    Replace(stand_in, stand_in->LeftChild);
    Replace(node, stand_in);
    SetLeft(stand_in, node->LeftChild);
    SetRight(stand_in, node->RightChild);
    return changed;
  }
  Link* child = node->LeftChild != nullptr ? node->LeftChild : node->RightChild;
  Link* changed = child != nullptr ? child : IsRoot(node) ? nullptr : node->Parent;
  Replace(node, child);
  return changed;
}

}  // namespace

extern "C" {

/// Moves a node to the root of its tree by rotations, and returns it.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlSplay.
NT_EXPORT(RtlSplay, nt::AnyIrql(), Full, "RtlTable.*");
PRTL_SPLAY_LINKS NTAPI RtlSplay(PRTL_SPLAY_LINKS Links) {
  while (!IsRoot(Links)) {
    Link* parent = Links->Parent;
    if (!IsRoot(parent)) Rotate(IsLeft(Links) == IsLeft(parent) ? parent : Links);
    Rotate(Links);
  }
  return Links;
}

/// Takes a node out of its tree and splays where it was; returns the new root, 0 for an empty tree.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlDelete.
NT_EXPORT(RtlDelete, nt::AnyIrql(), Full, "RtlTable.*");
PRTL_SPLAY_LINKS NTAPI RtlDelete(PRTL_SPLAY_LINKS Links) {
  Link* changed = Remove(Links);
  return changed != nullptr ? RtlSplay(changed) : nullptr;
}

/// Takes a node out of its tree and leaves the rest as it is; sets the root if that changes.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlDeleteNoSplay.
NT_EXPORT(RtlDeleteNoSplay, nt::AnyIrql(), Full, "RtlTable.*");
VOID NTAPI RtlDeleteNoSplay(PRTL_SPLAY_LINKS Links, PRTL_SPLAY_LINKS* Root) {
  Link* changed = Remove(Links);
  while (changed != nullptr && !IsRoot(changed)) changed = changed->Parent;
  *Root = changed;
}

/// Returns the next node in order below a node, or 0.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlSubtreeSuccessor.
NT_EXPORT(RtlSubtreeSuccessor, nt::AnyIrql(), Full, "RtlTable.*");
PRTL_SPLAY_LINKS NTAPI RtlSubtreeSuccessor(PRTL_SPLAY_LINKS Links) {
  return Links->RightChild != nullptr ? Leftmost(Links->RightChild) : nullptr;
}

/// Returns the previous node in order below a node, or 0.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlSubtreePredecessor.
NT_EXPORT(RtlSubtreePredecessor, nt::AnyIrql(), Full, "RtlTable.*");
PRTL_SPLAY_LINKS NTAPI RtlSubtreePredecessor(PRTL_SPLAY_LINKS Links) {
  return Links->LeftChild != nullptr ? Rightmost(Links->LeftChild) : nullptr;
}

/// Returns the next node in order, or 0.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRealSuccessor.
NT_EXPORT(RtlRealSuccessor, nt::AnyIrql(), Full, "RtlTable.*");
PRTL_SPLAY_LINKS NTAPI RtlRealSuccessor(PRTL_SPLAY_LINKS Links) {
  if (Links->RightChild != nullptr) return Leftmost(Links->RightChild);
  while (!IsRoot(Links) && !IsLeft(Links)) Links = Links->Parent;
  return IsRoot(Links) ? nullptr : Links->Parent;
}

/// Returns the previous node in order, or 0.
/// IRQL: any, if the tree is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRealPredecessor.
NT_EXPORT(RtlRealPredecessor, nt::AnyIrql(), Full, "RtlTable.*");
PRTL_SPLAY_LINKS NTAPI RtlRealPredecessor(PRTL_SPLAY_LINKS Links) {
  if (Links->LeftChild != nullptr) return Rightmost(Links->LeftChild);
  while (!IsRoot(Links) && IsLeft(Links)) Links = Links->Parent;
  return IsRoot(Links) ? nullptr : Links->Parent;
}

}  // extern "C"
