// The two passes of structured exception handling: RtlDispatchException asks the handlers of the frames above
// the exception, innermost first; RtlUnwindEx runs the termination handlers up to the frame that took it.
//
// Each handler is called by RtlpExecuteHandlerFor..., whose own frame has a handler that reports an exception
// inside the handler (nested exception) or an unwind that passes over an unwind in progress (collided
// unwind).
#include "ke_internal.h"
#include "nt/export.h"
#include "unwind_frames.h"

#ifndef STATUS_UNWIND_CONSOLIDATE
#define STATUS_UNWIND_CONSOLIDATE static_cast<NTSTATUS>(0x80000029)
#endif

namespace {

[[noreturn]] void RaiseInsideDispatch(NTSTATUS code, PEXCEPTION_RECORD about) {
  EXCEPTION_RECORD record;
  RtlZeroMemory(&record, sizeof(record));
  record.ExceptionCode = code;
  record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
  record.ExceptionRecord = about;
  RtlRaiseException(&record);
  KiAssertFailed("a noncontinuable exception came back", __FILE_NAME__, __LINE__);
}

// The first pass.
class Search {
 public:
  Search(PEXCEPTION_RECORD record, PCONTEXT context)
      : record_(record), context_(context), flags_(record->ExceptionFlags & EXCEPTION_NONCONTINUABLE) {
    RtlCopyMemory(&frame_, context, sizeof(frame_));
    dispatcher_ = {};
  }
  bool Run();

 private:
  enum class Answer { kSearch, kContinue, kGiveUp };
  Answer AskHandler(ki::FrameWalk* walk);
  bool Ask(ki::FrameWalk* walk, Answer* answer);
  void TakeCollided(ki::FrameWalk* walk);

  PEXCEPTION_RECORD record_;
  PCONTEXT context_;
  ULONG flags_;
  ULONG64 nested_frame_ = 0;
  DISPATCHER_CONTEXT dispatcher_;
  CONTEXT frame_;  // of the frame that the search has reached
};

bool Search::Run() {
  ki::FrameWalk walk(&frame_, false);
  while (walk.valid() && !walk.at_end()) {
    const ULONG64 pc = walk.pc();
    if (!walk.Leave(UNW_FLAG_EHANDLER)) break;
    if (walk.result().handler == 0) continue;
    dispatcher_.ControlPc = pc;
    dispatcher_.ImageBase = walk.image().base;
    dispatcher_.FunctionEntry = walk.function();
    dispatcher_.EstablisherFrame = walk.result().establisher;
    dispatcher_.LanguageHandler = reinterpret_cast<PKLANGUAGE_HANDLER>(walk.result().handler);
    dispatcher_.HandlerData = walk.result().handler_data;
    dispatcher_.ScopeIndex = 0;
    const Answer answer = AskHandler(&walk);
    if (answer == Answer::kContinue) return true;
    if (answer == Answer::kGiveUp) break;
  }
  record_->ExceptionFlags = flags_ | (walk.valid() ? 0 : EXCEPTION_STACK_INVALID);
  return false;
}

Search::Answer Search::AskHandler(ki::FrameWalk* walk) {
  Answer answer;
  while (Ask(walk, &answer)) {
  }
  return answer;
}

// True: the frame has changed, ask again.
bool Search::Ask(ki::FrameWalk* walk, Answer* answer) {
  dispatcher_.ContextRecord = context_;
  record_->ExceptionFlags = flags_;
  const KI_DISPOSITION disposition = RtlpExecuteHandlerForException(
      record_, reinterpret_cast<PVOID>(dispatcher_.EstablisherFrame), context_, &dispatcher_);
  flags_ |= record_->ExceptionFlags & (EXCEPTION_NONCONTINUABLE | EXCEPTION_STACK_INVALID);
  if (nested_frame_ == dispatcher_.EstablisherFrame) {
    flags_ &= ~static_cast<ULONG>(EXCEPTION_NESTED_CALL);
    nested_frame_ = 0;
  }
  *answer = Answer::kSearch;
  switch (disposition) {
    case KiContinueExecution:
      if ((flags_ & EXCEPTION_NONCONTINUABLE) != 0) {
        RaiseInsideDispatch(STATUS_NONCONTINUABLE_EXCEPTION, record_);
      }
      *answer = Answer::kContinue;
      return false;
    case KiContinueSearch:
      if ((flags_ & EXCEPTION_STACK_INVALID) != 0) *answer = Answer::kGiveUp;
      return false;
    case KiNestedException:
      flags_ |= EXCEPTION_NESTED_CALL;
      if (dispatcher_.EstablisherFrame > nested_frame_) nested_frame_ = dispatcher_.EstablisherFrame;
      return false;
    case KiCollidedUnwind:
      TakeCollided(walk);
      return true;
  }
  RaiseInsideDispatch(STATUS_INVALID_DISPOSITION, record_);
}

// An unwind was in progress below: the search goes on where that unwind had arrived.
void Search::TakeCollided(ki::FrameWalk* walk) {
  RtlCopyMemory(&frame_, dispatcher_.ContextRecord, sizeof(frame_));
  frame_.Rip = dispatcher_.ControlPc;
  walk->Restart(true);
  walk->Leave(UNW_FLAG_NHANDLER);
}

// The second pass. `current_` is the frame being left, `previous_` its caller; both live outside: the
// caller's context record, which handlers see, and one of ours.
class Unwind {
 public:
  Unwind(PVOID target_frame, PVOID target_ip, PEXCEPTION_RECORD record, PVOID return_value, PCONTEXT original,
         PUNWIND_HISTORY_TABLE history)
      : target_frame_(reinterpret_cast<ULONG64>(target_frame)),
        target_ip_(reinterpret_cast<ULONG64>(target_ip)),
        record_(record),
        return_value_(reinterpret_cast<ULONG64>(return_value)),
        original_(original),
        current_(original),
        previous_(&local_),
        flags_(EXCEPTION_UNWINDING | (target_frame == nullptr ? EXCEPTION_EXIT_UNWIND : 0)) {
    dispatcher_ = {};
    dispatcher_.HistoryTable = history;
  }
  [[noreturn]] void Run();

 private:
  bool Step();  // true: arrived
  void RunHandlers();
  void TakeCollided();
  void CheckFrame();
  void Advance() {
    PCONTEXT swap = current_;
    current_ = previous_;
    previous_ = swap;
  }
  bool LeaveInto(PCONTEXT context, ULONG64 pc, ULONG handlers);

  ULONG64 target_frame_, target_ip_;
  PEXCEPTION_RECORD record_;
  ULONG64 return_value_;
  PCONTEXT original_, current_, previous_;
  ULONG flags_;
  ULONG64 establisher_ = 0;
  ki::ImageFunctions image_;
  rtl::UnwindResult result_{};
  bool after_call_ = true;  // it starts at the return address of a call of ours
  DISPATCHER_CONTEXT dispatcher_;
  CONTEXT local_;
};

bool Unwind::LeaveInto(PCONTEXT context, ULONG64 pc, ULONG handlers) {
  rtl::StackBounds bounds;
  if (!ki::StackOf(context->Rsp, &bounds)) return false;
  const RUNTIME_FUNCTION* function = image_.Find(pc);
  dispatcher_.FunctionEntry = function;
  result_ = {context->Rsp, 0, nullptr, false};
  const rtl::UnwindRegisters registers = ki::RegistersOf(context);
  const bool left = function == nullptr ? rtl::UnwindLeaf(bounds, registers)
                                        : rtl::UnwindFunction(image_.base, pc, function, handlers,
                                                              after_call_, bounds, registers, &result_);
  after_call_ = !result_.machine_frame;
  return left;
}

void Unwind::CheckFrame() {
  rtl::StackBounds bounds;
  if ((establisher_ & 7) != 0 || !ki::StackOf(establisher_, &bounds)) {
    RaiseInsideDispatch(STATUS_BAD_STACK, record_);
  }
}

bool Unwind::Step() {
  const ULONG64 pc = current_->Rip;
  RtlCopyMemory(previous_, current_, sizeof(CONTEXT));
  const bool ended = pc == 0 && after_call_;  // a call of address 0 is no end
  if (ended || !LeaveInto(previous_, pc, UNW_FLAG_UHANDLER)) RaiseInsideDispatch(STATUS_BAD_STACK, record_);
  if (dispatcher_.FunctionEntry == nullptr) {
    Advance();
    return false;
  }
  establisher_ = result_.establisher;
  CheckFrame();
  if (result_.handler != 0) {
    dispatcher_.ControlPc = pc;
    dispatcher_.ImageBase = image_.base;
    dispatcher_.TargetIp = target_ip_;
    dispatcher_.ScopeIndex = 0;
    RunHandlers();
  }
  if (establisher_ == target_frame_) return true;
  Advance();
  return false;
}

// The termination handlers of one frame, and of the frames at which earlier unwinds had arrived.
void Unwind::RunHandlers() {
  for (;;) {
    if (establisher_ == target_frame_) flags_ |= EXCEPTION_TARGET_UNWIND;
    record_->ExceptionFlags = flags_;
    current_->Rax = return_value_;
    dispatcher_.EstablisherFrame = establisher_;
    dispatcher_.ContextRecord = current_;
    dispatcher_.LanguageHandler = reinterpret_cast<PKLANGUAGE_HANDLER>(result_.handler);
    dispatcher_.HandlerData = result_.handler_data;
    const KI_DISPOSITION disposition =
        RtlpExecuteHandlerForUnwind(record_, reinterpret_cast<PVOID>(establisher_), current_, &dispatcher_);
    flags_ &= ~static_cast<ULONG>(EXCEPTION_COLLIDED_UNWIND | EXCEPTION_TARGET_UNWIND);
    if (disposition == KiContinueSearch) return;
    if (disposition != KiCollidedUnwind) RaiseInsideDispatch(STATUS_INVALID_DISPOSITION, record_);
    TakeCollided();
  }
}

// The dispatcher context is the older unwind's: this one takes over its frame, and the rest of its handlers.
void Unwind::TakeCollided() {
  const PKLANGUAGE_HANDLER handler = dispatcher_.LanguageHandler;
  const VOID* data = dispatcher_.HandlerData;
  if (original_ != dispatcher_.ContextRecord) {
    RtlCopyMemory(original_, dispatcher_.ContextRecord, sizeof(CONTEXT));
  }
  current_ = original_;
  previous_ = &local_;
  RtlCopyMemory(previous_, current_, sizeof(CONTEXT));
  after_call_ = true;
  LeaveInto(previous_, dispatcher_.ControlPc, UNW_FLAG_NHANDLER);
  establisher_ = dispatcher_.EstablisherFrame;
  dispatcher_.TargetIp = target_ip_;
  result_.handler = reinterpret_cast<ULONG64>(handler);
  result_.handler_data = data;
  flags_ |= EXCEPTION_COLLIDED_UNWIND;
}

void Unwind::Run() {
  while (!Step()) {
    // An exit unwind ends with the stack.
    if (target_frame_ == 0 && current_->Rip == 0) break;
  }
  current_->Rax = return_value_;
  // A consolidating unwind asks its callback where to go on, on the target's frame as it was left.
  if (target_frame_ != 0 && record_->ExceptionCode != STATUS_UNWIND_CONSOLIDATE) current_->Rip = target_ip_;
  RtlRestoreContext(current_, record_);
}

}  // namespace

extern "C" {

BOOLEAN RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord) {
  Search search(ExceptionRecord, ContextRecord);
  return search.Run();
}

// The handlers of RtlpExecuteHandlerFor...'s own frames, whose dispatcher context lies 0x20 above the
// establisher.
KI_DISPOSITION RtlpExceptionHandler(PEXCEPTION_RECORD record, PVOID establisher, PCONTEXT,
                                    PDISPATCHER_CONTEXT dispatcher) {
  if ((record->ExceptionFlags & EXCEPTION_UNWIND) != 0) return KiContinueSearch;
  const auto* interrupted = *reinterpret_cast<PDISPATCHER_CONTEXT*>(static_cast<UCHAR*>(establisher) + 0x20);
  dispatcher->EstablisherFrame = interrupted->EstablisherFrame;
  return KiNestedException;
}

KI_DISPOSITION RtlpUnwindHandler(PEXCEPTION_RECORD, PVOID establisher, PCONTEXT,
                                 PDISPATCHER_CONTEXT dispatcher) {
  const auto* interrupted = *reinterpret_cast<PDISPATCHER_CONTEXT*>(static_cast<UCHAR*>(establisher) + 0x20);
  const ULONG64 target = dispatcher->TargetIp;
  *dispatcher = *interrupted;
  dispatcher->TargetIp = target;
  return KiCollidedUnwind;
}

/// Unwinds to the frame TargetFrame, running the termination handlers on the way, and goes on at TargetIp
/// there with ReturnValue in rax. ContextRecord is scratch. TargetFrame 0: an exit unwind, over all frames. A
/// record of STATUS_UNWIND_CONSOLIDATE names a routine that is called on the target's frame and says where
/// that goes on.
/// IRQL: any.
/// Differs from NT: the history table, a cache, is neither read nor written.
/// Source: winnt.h RtlUnwindEx.
NT_EXPORT(RtlUnwindEx, nt::AnyIrql(), Full, "RtlUnwind.*");
DECLSPEC_NOINLINE VOID NTAPI RtlUnwindEx(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord,
                                         PVOID ReturnValue, PCONTEXT ContextRecord,
                                         PUNWIND_HISTORY_TABLE HistoryTable) {
  EXCEPTION_RECORD local;
  RtlCaptureContext(ContextRecord);
  if (ExceptionRecord == nullptr) {
    RtlZeroMemory(&local, sizeof(local));
    local.ExceptionCode = STATUS_UNWIND;
    local.ExceptionAddress = reinterpret_cast<PVOID>(ContextRecord->Rip);
    ExceptionRecord = &local;
  }
  Unwind unwind(TargetFrame, TargetIp, ExceptionRecord, ReturnValue, ContextRecord, HistoryTable);
  unwind.Run();
}

/// RtlUnwindEx with a context record of its own.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h RtlUnwind.
NT_EXPORT(RtlUnwind, nt::AnyIrql(), Full, "RtlUnwind.*");
VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord,
                     PVOID ReturnValue) {
  CONTEXT context;
  RtlUnwindEx(TargetFrame, TargetIp, ExceptionRecord, ReturnValue, &context, nullptr);
}

}  // extern "C"
