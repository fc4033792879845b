// Registration of providers, and what the session takes of them.
#include "etw_internal.h"
#include "nt/export.h"

namespace etw {
namespace {

constexpr ULONG kChunkSize = 64, kChunks = 64;
constexpr ULONG kTag = 'RwtE';
constexpr ULONG kEnableProvider = 1;  // EVENT_CONTROL_CODE_ENABLE_PROVIDER

Provider* volatile chunks[kChunks];  // never shrinks
volatile LONG next_place;
KSPIN_LOCK lock;  // free places
ULONG session_level = 0xFF;

Provider* At(ULONG place) {
  return &chunks[place / kChunkSize][place % kChunkSize];
}

// Makes sure that the chunk of a new place is there. The loser of a race gives its own back.
bool HaveChunk(ULONG index) {
  if (chunks[index] != nullptr) return true;
  const SIZE_T size = kChunkSize * sizeof(Provider);
  PVOID chunk = ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag);
  if (chunk == nullptr) return false;
  RtlZeroMemory(chunk, size);
  auto* slot = reinterpret_cast<PVOID volatile*>(&chunks[index]);
  if (InterlockedCompareExchangePointer(slot, chunk, nullptr) != nullptr) ExFreePoolWithTag(chunk, kTag);
  return true;
}

// A free place, marked as used: its generation is odd. -1: none.
LONG TakePlace() {
  KIRQL irql;
  KeAcquireSpinLock(&lock, &irql);
  LONG place = 0;
  while (place < next_place && (At(place)->generation & 1) != 0) ++place;
  const bool found = place < next_place;
  if (found) InterlockedIncrement(reinterpret_cast<volatile LONG*>(&At(place)->generation));
  KeReleaseSpinLock(&lock, irql);
  return found ? place : -1;
}

// One more chunk of places.
bool Grow() {
  const ULONG index = static_cast<ULONG>(next_place) / kChunkSize;
  if (index >= kChunks || !HaveChunk(index)) return false;
  const auto from = static_cast<LONG>(index * kChunkSize);
  InterlockedCompareExchange(&next_place, from + static_cast<LONG>(kChunkSize), from);
  return true;
}

REGHANDLE HandleOf(LONG place, ULONG generation) {
  return static_cast<REGHANDLE>(generation) << 32 | static_cast<ULONG>(place + 1);
}

}  // namespace

void SetSessionLevel(ULONG level) {
  session_level = level;
}

Provider* ProviderOf(REGHANDLE handle) {
  const auto place = static_cast<ULONG>(handle) - 1;
  if (place >= static_cast<ULONG>(next_place)) return nullptr;
  Provider* provider = At(place);
  const auto generation = static_cast<ULONG>(handle >> 32);
  return (generation & 1) != 0 && provider->generation == generation ? provider : nullptr;
}

bool SessionTakes(UCHAR level, ULONGLONG keyword) {
  return session_level != 0 && level <= session_level;  // every keyword
}

}  // namespace etw

extern "C" {

/// Registers a provider of events. The host's session takes every provider, so that the enable callback is
/// called before this returns.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: at most 4096 registrations at a time.
/// Source: WDK wdm/EtwRegister.
NT_EXPORT(EtwRegister, nt::Exactly(PASSIVE_LEVEL), Full, "Etw.*");
NTSTATUS NTAPI EtwRegister(LPCGUID ProviderId, PETWENABLECALLBACK EnableCallback, PVOID CallbackContext,
                           PREGHANDLE RegHandle) {
  if (ProviderId == nullptr || RegHandle == nullptr) return STATUS_INVALID_PARAMETER;
  LONG place = etw::TakePlace();
  while (place < 0) {
    if (!etw::Grow()) return STATUS_NO_MEMORY;
    place = etw::TakePlace();
  }
  etw::Provider* provider = etw::At(place);
  provider->id = *ProviderId;
  provider->callback = EnableCallback;
  provider->context = CallbackContext;
  *RegHandle = etw::HandleOf(place, provider->generation);
  if (EnableCallback != nullptr && etw::session_level != 0) {
    const GUID source = {};
    EnableCallback(&source, etw::kEnableProvider, static_cast<UCHAR>(etw::session_level), ~0ull, 0, nullptr,
                   CallbackContext);
  }
  return STATUS_SUCCESS;
}

/// Takes a registration back.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/EtwUnregister.
NT_EXPORT(EtwUnregister, nt::Exactly(PASSIVE_LEVEL), Full, "Etw.*");
NTSTATUS NTAPI EtwUnregister(REGHANDLE RegHandle) {
  etw::Provider* provider = etw::ProviderOf(RegHandle);
  if (provider == nullptr) return STATUS_INVALID_HANDLE;
  const auto generation = static_cast<LONG>(RegHandle >> 32);
  auto* current = reinterpret_cast<volatile LONG*>(&provider->generation);
  const bool own = InterlockedCompareExchange(current, generation + 1, generation) == generation;
  return own ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

/// Tells whether the session takes events of a provider with that level and keyword.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/EtwProviderEnabled.
NT_EXPORT(EtwProviderEnabled, nt::AnyIrql(), Full, "Etw.*");
BOOLEAN NTAPI EtwProviderEnabled(REGHANDLE RegHandle, UCHAR Level, ULONGLONG Keyword) {
  return etw::ProviderOf(RegHandle) != nullptr && etw::SessionTakes(Level, Keyword);
}

/// Tells whether the session takes an event.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/EtwEventEnabled.
NT_EXPORT(EtwEventEnabled, nt::AnyIrql(), Full, "Etw.*");
BOOLEAN NTAPI EtwEventEnabled(REGHANDLE RegHandle, PCEVENT_DESCRIPTOR EventDescriptor) {
  return EtwProviderEnabled(RegHandle, EventDescriptor->Level, EventDescriptor->Keyword);
}

}  // extern "C"
