// Time: 100-ns intervals since 1601 (UTC) and calendar fields of the proleptic Gregorian calendar.
#include "rtl/rtl.h"

namespace {

constexpr LONGLONG kTicksPerMillisecond = 10000;
constexpr LONGLONG kMillisecondsPerDay = 86400000;
constexpr LONGLONG kTicksPerSecond = 10000000;
constexpr LONGLONG kSecondsTo1970 = 11644473600;
constexpr LONGLONG kSecondsTo1980 = 11960006400;

// Days from 1601-01-01 to the first day of a March-based year; the leap day is the last day of such a year.
LONGLONG DaysBeforeMarchYear(LONGLONG year) {
  return year * 365 + year / 4 - year / 100 + year / 400;
}

bool IsLeap(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int DaysIn(int year, int month) {
  constexpr UCHAR kDays[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

// Days since 1601-01-01 of a date from 1601 on.
LONGLONG DayNumber(int year, int month, int day) {
  const LONGLONG march_year = month > 2 ? year : year - 1;
  const int march_month = month > 2 ? month - 3 : month + 9;
  constexpr LONGLONG kEpoch = 584388;  // DaysBeforeMarchYear(1600) + 306 (1601-01-01 within its March year)
  static_assert(1600 * 365 + 400 - 16 + 4 == 584388);
  return DaysBeforeMarchYear(march_year) + (153 * march_month + 2) / 5 + day - 1 - (kEpoch + 306);
}

void SetDate(LONGLONG day, PTIME_FIELDS fields) {
  fields->Weekday = static_cast<CSHORT>((day + 1) % 7);  // 1601-01-01 was a Monday
  int year = static_cast<int>(1601 + day / 366);
  while (day >= DayNumber(year + 1, 1, 1)) ++year;
  int left = static_cast<int>(day - DayNumber(year, 1, 1));
  int month = 1;
  for (; left >= DaysIn(year, month); ++month) left -= DaysIn(year, month);
  fields->Year = static_cast<CSHORT>(year);
  fields->Month = static_cast<CSHORT>(month);
  fields->Day = static_cast<CSHORT>(left + 1);
}

void SetTimeOfDay(LONGLONG milliseconds, PTIME_FIELDS fields) {
  fields->Milliseconds = static_cast<CSHORT>(milliseconds % 1000);
  fields->Second = static_cast<CSHORT>(milliseconds / 1000 % 60);
  fields->Minute = static_cast<CSHORT>(milliseconds / 60000 % 60);
  fields->Hour = static_cast<CSHORT>(milliseconds / 3600000 % 24);
}

BOOLEAN ToSeconds(LONGLONG time, LONGLONG base, PULONG seconds) {
  const LONGLONG value = time / kTicksPerSecond - base;
  if (value < 0 || value > 0xFFFFFFFFll) return FALSE;
  *seconds = static_cast<ULONG>(value);
  return TRUE;
}

}  // namespace

extern "C" {

/// Splits a system time into calendar fields (UTC; weekday 0 is Sunday).
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlTimeToTimeFields.
NT_EXPORT(RtlTimeToTimeFields, nt::AnyIrql(), Full, "RtlTime.*");
VOID NTAPI RtlTimeToTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields) {
  const LONGLONG milliseconds = Time->QuadPart / kTicksPerMillisecond;
  SetDate(milliseconds / kMillisecondsPerDay, TimeFields);
  SetTimeOfDay(milliseconds % kMillisecondsPerDay, TimeFields);
}

/// Makes a system time of calendar fields; FALSE if they name no moment from 1601 on. The weekday is not
/// looked at.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlTimeFieldsToTime.
NT_EXPORT(RtlTimeFieldsToTime, nt::AnyIrql(), Full, "RtlTime.*");
BOOLEAN NTAPI RtlTimeFieldsToTime(PTIME_FIELDS TimeFields, PLARGE_INTEGER Time) {
  const TIME_FIELDS f = *TimeFields;
  if (f.Year < 1601 || f.Month < 1 || f.Month > 12 || f.Day < 1 || f.Day > DaysIn(f.Year, f.Month))
    return FALSE;
  if (f.Hour < 0 || f.Hour > 23 || f.Minute < 0 || f.Minute > 59 || f.Second < 0 || f.Second > 59)
    return FALSE;
  if (f.Milliseconds < 0 || f.Milliseconds > 999) return FALSE;
  const LONGLONG of_day = ((f.Hour * 60ll + f.Minute) * 60 + f.Second) * 1000 + f.Milliseconds;
  Time->QuadPart = (DayNumber(f.Year, f.Month, f.Day) * kMillisecondsPerDay + of_day) * kTicksPerMillisecond;
  return TRUE;
}

/// Splits a span of time into days (in Day) and a time of day.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: ntifs.h declaration.
NT_EXPORT(RtlTimeToElapsedTimeFields, nt::AnyIrql(), Full, "RtlTime.*");
VOID NTAPI RtlTimeToElapsedTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields) {
  const LONGLONG milliseconds = Time->QuadPart / kTicksPerMillisecond;
  *TimeFields = {};
  TimeFields->Day = static_cast<CSHORT>(milliseconds / kMillisecondsPerDay);
  SetTimeOfDay(milliseconds % kMillisecondsPerDay, TimeFields);
}

/// Gives the whole seconds since 1970; FALSE if they do not fit 32 bits.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlTimeToSecondsSince1970.
NT_EXPORT(RtlTimeToSecondsSince1970, nt::AtMost(APC_LEVEL), Full, "RtlTime.*");
BOOLEAN NTAPI RtlTimeToSecondsSince1970(PLARGE_INTEGER Time, PULONG ElapsedSeconds) {
  return ToSeconds(Time->QuadPart, kSecondsTo1970, ElapsedSeconds);
}

/// Gives the whole seconds since 1980; FALSE if they do not fit 32 bits.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlTimeToSecondsSince1980.
NT_EXPORT(RtlTimeToSecondsSince1980, nt::AtMost(APC_LEVEL), Full, "RtlTime.*");
BOOLEAN NTAPI RtlTimeToSecondsSince1980(PLARGE_INTEGER Time, PULONG ElapsedSeconds) {
  return ToSeconds(Time->QuadPart, kSecondsTo1980, ElapsedSeconds);
}

/// Makes a system time of seconds since 1970.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSecondsSince1970ToTime.
NT_EXPORT(RtlSecondsSince1970ToTime, nt::AtMost(APC_LEVEL), Full, "RtlTime.*");
VOID NTAPI RtlSecondsSince1970ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time) {
  Time->QuadPart = (kSecondsTo1970 + ElapsedSeconds) * kTicksPerSecond;
}

/// Makes a system time of seconds since 1980.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSecondsSince1980ToTime.
NT_EXPORT(RtlSecondsSince1980ToTime, nt::AtMost(APC_LEVEL), Full, "RtlTime.*");
VOID NTAPI RtlSecondsSince1980ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time) {
  Time->QuadPart = (kSecondsTo1980 + ElapsedSeconds) * kTicksPerSecond;
}

}  // extern "C"
