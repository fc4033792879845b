// !analyze -v on fabricated crashes.
#include <gtest/gtest.h>
