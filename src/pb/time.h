/*
 * The text of google.protobuf.Timestamp and Duration (timestamp.proto,
 * duration.proto; RFC 3339). Internal to src/pb.
 */
#ifndef PB_TIME_H
#define PB_TIME_H

#include <caw/str.h>
#include <stdbool.h>
#include <stdint.h>

/* Room for either text. */
#define PB_TIME_ROOM 40

typedef struct pb_time {
  int64_t seconds; /* since 1970 in UTC, or of a duration */
  int32_t nanos;
} pb_time;

/* Write the text and return its length, or 0 when the value is out of range. */
size_t pb_timestamp_print(char *out, pb_time t);
size_t pb_duration_print(char *out, pb_time t);

/* Read the text; false when it has not the form, or is out of range. */
bool pb_timestamp_read(caw_str text, pb_time *t);
bool pb_duration_read(caw_str text, pb_time *t);

#endif
