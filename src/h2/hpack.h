/*
 * Header compression, RFC 7541: one decoder and one encoder per connection.
 * Bytes and fields only: what a field means, which fields a request needs and
 * how many of them are too many is the session's business.
 */
#ifndef H2_HPACK_H
#define H2_HPACK_H

#include "base/cells.h"
#include "h2/h2.h"

/* What both sides start with (RFC 9113 section 6.5.2). */
#define HPACK_TABLE_DEFAULT ((uint32_t)4096)

/* What an entry costs beyond its text (RFC 7541 section 4.1). */
#define HPACK_ENTRY_COST ((size_t)32)

/* A field in a dynamic table; its text lies behind it, name first. */
typedef struct hpack_entry hpack_entry;

/* A dynamic table, newest first: a ring of entries, each a piece of `cells`.
 * Nothing is allocated while it is empty. */
typedef struct hpack_table {
  hpack_entry **ring; /* `room` is a power of two, or 0 */
  uint32_t head;      /* where the newest entry is */
  uint32_t len, room;
  uint32_t bytes;    /* of all entries, each with HPACK_ENTRY_COST */
  uint32_t max;      /* beyond it, the oldest go */
  uint64_t inserted; /* entries so far: an entry's number never changes */
  cells *cells;
} hpack_table;

/* ---- Decoding ---- */

typedef enum hpack_result {
  HPACK_FIELD,    /* *field is the next field */
  HPACK_END,      /* everything was read */
  HPACK_MORE,     /* what is left is the begin of a representation; nothing of it was taken */
  HPACK_BAD,      /* COMPRESSION_ERROR: the connection's compression state is lost */
  HPACK_TOO_LONG, /* a name or value is longer than max_string */
  HPACK_NO_MEMORY
} hpack_result;

typedef struct hpack_decoder {
  hpack_table table;
  uint32_t allowed;    /* our SETTINGS_HEADER_TABLE_SIZE: no size update may pass it */
  uint32_t smallest;   /* that it was, while must_shrink: the first update may not pass it */
  uint32_t max_string; /* bytes of one name or value, decoded */
  bool begun;          /* a field of this block was read: no size update may follow */
  bool must_shrink;    /* `allowed` fell below the table's size: an update must come first */
  uint8_t updates;     /* of the size, in this block: two at most */
  /* Where text goes that must be unpacked and is not inserted, unless its name is one
   * of a table that has a token (such a field is understood, and not kept as it is):
   * `room(ctx, len)` gives memory, or NULL when it is out. The field is lasting then: the other
   * text is copied behind it unless it lives for ever. Up to 86 bytes a text may be
   * asked for that are not used. Without it, scratch is used. Set by the session
   * for each block. */
  char *(*room)(void *ctx, size_t len);
  void *room_ctx;
  char *scratch; /* text of the field last decoded; given back by hpack_decoder_trim */
  size_t scratch_room;
} hpack_decoder;

/* `max_string` above HPACK_STRING_MAX means that. */
#define HPACK_STRING_MAX ((uint32_t)1 << 28)
void hpack_decoder_init(hpack_decoder *d, uint32_t max_string, cells *memory);
void hpack_decoder_finish(hpack_decoder *d);

/* Gives back what is not needed between blocks. */
void hpack_decoder_trim(hpack_decoder *d);

/* From now on the peer's encoder may use `bytes`; when its table is larger, the
 * next block must begin with an update (RFC 7541 section 4.2). To be called when
 * the peer has acknowledged the setting. */
void hpack_decoder_allow(hpack_decoder *d, uint32_t bytes);

/* A header block begins. */
static inline void hpack_decoder_begin(hpack_decoder *d) {
  d->begun = false;
  d->updates = 0;
}

/*
 * Reads the next representation from *p up to `end` and moves *p behind it,
 * size updates included. `last` says that the block ends at `end`: then a
 * representation that is cut is HPACK_BAD and not HPACK_MORE. HPACK_MORE takes a
 * bounded number of steps and changes nothing: the caller comes again with the
 * same bytes and more behind them. What is cut and not refused has at most 13 bytes
 * beside its two strings, and each of those at most max_string * 15 / 4 + 1.
 *
 * On HPACK_FIELD the texts are valid until the next call, and those that stand
 * plain in the input and are not inserted as long as it is there; or, with
 * H2_FIELD_LASTING, as long as the memory that room() gave or for ever: both
 * texts then. field->token is set; H2_FIELD_SECRET when the peer sent it as never
 * indexed; H2_FIELD_INVALID when the name or the value has a character that RFC
 * 9113 sections 8.2.1 and 8.3.1 forbid (asked once for an entry, and kept with it).
 */
hpack_result hpack_decode(hpack_decoder *d, const uint8_t **p, const uint8_t *end, bool last,
                          h2_field *field);

/* ---- Encoding ---- */

typedef struct hpack_encoder {
  hpack_table table;
  uint32_t smallest;         /* table size since the last block */
  uint32_t announced;        /* the size that the peer's decoder believes */
  bool due;                  /* the next block begins with an update of the size */
  struct hpack_index *index; /* finds entries, and what came once; made when it is needed */
} hpack_encoder;

void hpack_encoder_init(hpack_encoder *e, cells *memory);
void hpack_encoder_finish(hpack_encoder *e);

/* The peer's SETTINGS_HEADER_TABLE_SIZE; we use at most HPACK_TABLE_DEFAULT of it. */
void hpack_encoder_limit(hpack_encoder *e, uint32_t bytes);

/* How many bytes hpack_encode may write at most; SIZE_MAX when that overflows. */
size_t hpack_bound(const h2_field *fields, size_t n);

/* Writes a header block and returns its length. It cannot fail: without memory
 * for an entry, the field travels as a literal. */
size_t hpack_encode(hpack_encoder *e, uint8_t *to, const h2_field *fields, size_t n);

/* ---- Huffman coding (RFC 7541 section 5.2 and appendix B) ---- */

size_t huffman_encoded_length(const uint8_t *text, size_t len);

/* Writes the code, padded with ones; returns its length. */
size_t huffman_encode(uint8_t *to, const uint8_t *text, size_t len);

/* Decodes into `to`, which has room for all: len * 8 / 5 bytes always do. Returns
 * the length, or SIZE_MAX: EOS inside, or a padding that is longer than 7 bits or
 * not ones. */
size_t huffman_decode(char *to, const uint8_t *code, size_t len);

/* What huffman_decode would return. */
size_t huffman_decoded_length(const uint8_t *code, size_t len);

#endif
