// ~: processors.
#include <charconv>

#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

void List(Context& context) {
  for (uint32_t number = 0; number < context.session.processor_count(); ++number) {
    const auto processor = context.session.GetProcessor(number);
    const auto registers = context.session.ProcessorRegisters(number);
    const char mark = number == context.session.current_processor() ? '.'
                      : number == context.session.crash_processor() ? '#'
                                                                    : ' ';
    context.out.Line(
        "{}{:3}  PRCB {}  Thread {}  {}", mark, number,
        processor ? Hex16(processor->prcb) : "????????????????",
        processor ? Hex16(processor->current_thread) : "????????????????",
        registers ? context.session.symbols().Describe(registers->rip) : registers.error().message);
  }
}

base::Result<void> Run(Context& context, const Call& call) {
  std::string_view text = call.arguments;
  if (text.empty() || text == "*") {
    List(context);
    return {};
  }
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error != std::errc() || (rest != "s" && !rest.empty())) return base::Fail("usage: ~ | ~Ns (e.g. ~2s)");
  return context.session.SelectProcessor(number);
}

const Registration kRegistration({
    {"~"},
    "~ | ~Ns",
    "list the processors, or choose processor N",
    "The chosen processor is the number in the prompt; k, r and @$thread speak of it. In the list '.' marks "
    "it, '#' the\n"
    "one that crashed. N is decimal.",
    {"~", "~0s"},
    Run,
});

}  // namespace

}  // namespace commands
