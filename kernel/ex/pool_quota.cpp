// Pool quotas of processes: what they use, and the refusal beyond a limit.
#include "ex/pool.h"
#include "nt/eprocess.h"
#include "nt/export.h"

namespace ex {

bool ChargeQuota(PEPROCESS process, ULONG kind, SIZE_T bytes) {
  SIZE_T used = __atomic_load_n(&process->QuotaUsage[kind], __ATOMIC_RELAXED);
  do {
    const SIZE_T limit = process->QuotaLimit[kind];
    if (used + bytes < used || (limit != 0 && used + bytes > limit)) return false;
  } while (!__atomic_compare_exchange_n(&process->QuotaUsage[kind], &used, used + bytes, true,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
  SIZE_T peak = __atomic_load_n(&process->QuotaPeak[kind], __ATOMIC_RELAXED);
  while (peak < used + bytes && !__atomic_compare_exchange_n(&process->QuotaPeak[kind], &peak, used + bytes,
                                                             true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
  }
  return true;
}

void ReturnQuota(PEPROCESS process, ULONG kind, SIZE_T bytes) {
  const SIZE_T before = __atomic_fetch_sub(&process->QuotaUsage[kind], bytes, __ATOMIC_ACQ_REL);
  if (before >= bytes) return;
  // More was returned than charged.
  constexpr ULONG kQuotaUnderflow = 0x21;
  KeBugCheckEx(kQuotaUnderflow, reinterpret_cast<ULONG_PTR>(process), kind, before, bytes);
}

}  // namespace ex

/// Charges pool quota to a process.
/// Returns: STATUS_SUCCESS, or STATUS_QUOTA_EXCEEDED.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: processes have no limit unless one is set; the system process is charged too.
/// Source: ntifs.h, PsChargeProcessPoolQuota.
NT_EXPORT(PsChargeProcessPoolQuota, nt::AtMost(APC_LEVEL), Full, "ExPool.Quota*");
extern "C" NTSTATUS NTAPI PsChargeProcessPoolQuota(PEPROCESS Process, POOL_TYPE PoolType, ULONG_PTR Amount) {
  return ex::ChargeQuota(Process, PoolType & 1, Amount) ? STATUS_SUCCESS : STATUS_QUOTA_EXCEEDED;
}

/// PsChargeProcessPoolQuota that raises instead of returning an error.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: as PsChargeProcessPoolQuota.
/// Source: WDK ntifs/PsChargePoolQuota.
NT_EXPORT(PsChargePoolQuota, nt::AtMost(APC_LEVEL), Full, "ExPool.Quota*");
extern "C" VOID NTAPI PsChargePoolQuota(PEPROCESS Process, POOL_TYPE PoolType, ULONG_PTR Amount) {
  if (!ex::ChargeQuota(Process, PoolType & 1, Amount)) ExRaiseStatus(STATUS_QUOTA_EXCEEDED);
}

/// Gives charged pool quota back.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none; more than was charged is bug check 0x21.
/// Source: WDK ntifs/PsReturnPoolQuota.
NT_EXPORT(PsReturnPoolQuota, nt::AtMost(APC_LEVEL), Full, "ExPool.Quota*");
extern "C" VOID NTAPI PsReturnPoolQuota(PEPROCESS Process, POOL_TYPE PoolType, ULONG_PTR Amount) {
  ex::ReturnQuota(Process, PoolType & 1, Amount);
}
