// A bus with up to four children, and the children's function driver, for the tests of plug and play. All
// three are this driver: the bus device is ROOT\service, the children are TOY\Child.
#pragma once

#include "ddi_pnp.h"
#include "nt_test.h"

namespace toy {

enum class Role : UCHAR { kBus, kPdo, kFunction };

struct Extension {
  Role role;
  PDEVICE_OBJECT self;
  PDEVICE_OBJECT lower;  // of an FDO
  PDEVICE_OBJECT pdo;    // of an FDO: below it
  ULONG child;
};

// What a child is, what became of it, and how its drivers are to answer.
struct Child {
  volatile bool present;
  PDEVICE_OBJECT pdo;
  PDEVICE_OBJECT volatile function;
  volatile bool started;
  volatile LONG counts[32];  // requests to the function driver, by minor function
  volatile LONG pdo_counts[32];
  UCHAR order[128];  // the minor functions of the function driver, in order
  volatile LONG ordered;
  NTSTATUS query_remove;  // answers
  NTSTATUS start;
  PNP_DEVICE_STATE state;
  ULONG64 memory_start;
  ULONG interrupt_vector;  // of START_DEVICE's translated resources
  // power
  volatile LONG power_counts[4];
  volatile bool keep_power;  // set requests are kept
  PIRP volatile kept_power;
  POWER_STATE last_power;
};
constexpr ULONG kChildren = 4;
extern Child children[kChildren];
extern PDEVICE_OBJECT volatile bus_pdo;
extern PDEVICE_OBJECT volatile bus_device;
extern volatile bool bus_started;

// Waits until `done`; who waits in vain is ended by the run's time limit.
template <typename Done>
void WaitFor(Done done) {
  LARGE_INTEGER pause;
  pause.QuadPart = -10'000;
  while (!done()) KeDelayExecutionThread(KernelMode, FALSE, &pause);
}

void EnsureBus();
// A child that is plugged in and whose driver has started it; unplugged and gone at the end.
class PluggedChild {
 public:
  explicit PluggedChild(ULONG index);
  ~PluggedChild();
  PluggedChild(const PluggedChild&) = delete;
  PluggedChild& operator=(const PluggedChild&) = delete;
  Child* operator->() const { return &child_; }

 private:
  Child& child_;
};
// The place of a minor function in the order; -1: it did not come.
LONG PlaceOf(const Child& child, UCHAR minor, LONG after = -1);

}  // namespace toy
