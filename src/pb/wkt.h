/*
 * Which message types have a JSON form of their own: those of google.protobuf,
 * by their full names. A type that has the name and not the fields is treated
 * like any other message. Internal to src/pb.
 */
#ifndef PB_WKT_H
#define PB_WKT_H

#include "pb/wire.h"

typedef enum pb_wkt {
  PB_WKT_NONE,
  PB_WKT_ANY,       /* fields[0] type_url, fields[1] value */
  PB_WKT_TIMESTAMP, /* seconds, nanos */
  PB_WKT_DURATION,  /* seconds, nanos */
  PB_WKT_MASK,      /* paths */
  PB_WKT_STRUCT,    /* fields */
  PB_WKT_VALUE,     /* null, number, string, bool, struct, list */
  PB_WKT_LIST,      /* values */
  PB_WKT_WRAPPER    /* value */
} pb_wkt;

/* The fields of a Value, by their places in its table. */
enum {
  PB_VALUE_NULL,
  PB_VALUE_NUMBER,
  PB_VALUE_STRING,
  PB_VALUE_BOOL,
  PB_VALUE_STRUCT,
  PB_VALUE_LIST
};

pb_wkt pb_wkt_of(const caw_pb_message *t);

/* The type that an Any's URL names, by what is behind its last slash; NULL when
 * there is no slash or no such type. */
const caw_type *pb_any_type(const caw_pb_types *types, caw_str url);

/* Is it google.protobuf.NullValue, whose only value is written null? */
bool pb_is_null_value(const caw_pb_field *f);

#endif
