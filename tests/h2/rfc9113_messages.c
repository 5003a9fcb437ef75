/* RFC 9113 section 8: HTTP's messages, their fields, and what makes them
 * malformed: "MUST be treated as a stream error of type PROTOCOL_ERROR" (8.1.1). */
#include "wire.h"

static const h2_config hard = {.hard_header_bytes = 1000, .soft_header_bytes = 500};

/* A request with more fields, a response, and trailers, that are malformed. */
#define BAD_REQUEST(name, fields)                                                                  \
  {                                                                                                \
    name, S, "HEADERS 1 es eh " fields "; HEADERS 3 es eh @req",                                   \
        "stream 1; close 1 PROTOCOL_ERROR; stream 3; headers 3 end; end 3", "RST 1 PROTOCOL_ERROR" \
  }
#define BAD_RESPONSE(name, fields)                                                                 \
  { name, C, "HEADERS 1 eh " fields, "close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR" }
#define BAD_TRAILERS(name, fields)                                                                 \
  {                                                                                                \
    name, S, "HEADERS 1 eh @req; DATA 1 'abc'; HEADERS 1 es eh " fields,                           \
        "stream 1; headers 1; data 1 3; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"            \
  }
#define BAD_ENDING(name, fields)                                                                   \
  {                                                                                                \
    name, C, "HEADERS 1 eh @res; DATA 1 'abc'; HEADERS 1 es eh " fields,                           \
        "headers 1; data 1 3; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"                      \
  }
#define GOOD_REQUEST(name, fields)                                                                 \
  { name, S, "HEADERS 1 es eh " fields, "stream 1; headers 1 end; end 1", "" }
#define GOOD_RESPONSE(name, fields)                                                                \
  { name, C, "HEADERS 1 eh " fields, "headers 1", "" }

static const wire_case cases[] = {
    /* ---- 8.1 HTTP Message Framing ---- */
    {"8.1 a request without content", S, "HEADERS 1 es eh @req", "stream 1; headers 1 end; end 1",
     ""},
    {"8.1 a request with content", S, "HEADERS 1 eh @req; DATA 1 'abc'; DATA 1 es 'de'",
     "stream 1; headers 1; data 1 5; end 1", ""},
    {"8.1 a request with trailers", S, "HEADERS 1 eh @req; DATA 1 'abc'; HEADERS 1 es eh [k: v]",
     "stream 1; field 1 :method=POST; field 1 :scheme=http; field 1 :path=/s/m; "
     "field 1 :authority=test; headers 1; data 1 3; field 1 k=v; headers 1 end; end 1",
     "", .flags = FIELDS},
    {"8.1 trailers without content before them", S, "HEADERS 1 eh @req; HEADERS 1 es eh @trl",
     "stream 1; headers 1; headers 1 end; end 1", ""},
    {"8.1 trailers without fields", S, "HEADERS 1 eh @req; HEADERS 1 es eh",
     "stream 1; headers 1; headers 1 end; end 1", ""},
    {"8.1 trailers in pieces", S,
     "HEADERS 1 eh @req; HEADERS 1 es; CONTINUATION 1 @trl; CONTINUATION 1 eh",
     "stream 1; headers 1; headers 1 end; end 1", ""},
    {"8.1 a response with trailers", C,
     "finish 1; drain; HEADERS 1 eh @res; DATA 1 'abc'; HEADERS 1 es eh @trl",
     "headers 1; data 1 3; headers 1 end; end 1; close 1 NO_ERROR", "DATA 1 es 0"},
    {"8.1 a response in one block", C, "finish 1; drain; HEADERS 1 es eh @res @trl",
     "headers 1 end; end 1; close 1 NO_ERROR", "DATA 1 es 0"},
    {"8.1 a response while the request goes on", C, "HEADERS 1 es eh @res; send 1 10; finish 1",
     "headers 1 end; end 1; close 1 NO_ERROR", "DATA 1 es 10"},
    /* "A HEADERS frame without the END_STREAM flag set after receiving the HEADERS frame
     * that opens a request or after receiving a final status code" */
    {"8.1 a second HEADERS that does not end a request", S, "HEADERS 1 eh @req; HEADERS 1 eh @trl",
     "stream 1; headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1 a second HEADERS that does not end a request, in pieces", S,
     "HEADERS 1 eh @req; HEADERS 1 @trl; CONTINUATION 1 eh",
     "stream 1; headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1 HEADERS after content that do not end a request", S,
     "HEADERS 1 eh @req; DATA 1 'abc'; HEADERS 1 eh @trl; DATA 1 es",
     "stream 1; headers 1; data 1 3; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1 a second HEADERS that does not end a response", C, "HEADERS 1 eh @res; HEADERS 1 eh @trl",
     "headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1 a second final response", C, "HEADERS 1 eh @res; HEADERS 1 eh @res",
     "headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    /* "the presence of extraneous frames" (8.1.1) */
    {"8.1 DATA before the response", C, "DATA 1 'abc'", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},
    {"8.1 an empty DATA before the response", C, "DATA 1", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},
    {"8.1 END_STREAM in place of a response", C, "DATA 1 es", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},
    {"8.1 DATA after an interim response", C, "HEADERS 1 eh [:status: 100]; DATA 1 'abc'",
     "headers 1 informational; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    /* interim responses */
    {"8.1 an interim response", C, "HEADERS 1 eh [:status: 100]; HEADERS 1 eh @res",
     "headers 1 informational; headers 1", ""},
    {"8.1 many interim responses", C,
     "20 HEADERS 1 eh [:status: 103] [link: x]; HEADERS 1 es eh @res", NULL, ""},
    {"8.1 an interim response in pieces", C,
     "HEADERS 1; CONTINUATION 1 [:status: 199]; CONTINUATION 1 eh; HEADERS 1 eh @res",
     "headers 1 informational; headers 1", ""},
    {"8.1 an interim response with END_STREAM", C, "HEADERS 1 es eh [:status: 100]",
     "close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1 an interim response after the final one", C,
     "HEADERS 1 eh @res; HEADERS 1 eh [:status: 100]", "headers 1; close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},
    /* 8.6: "HTTP/2 does not support the 101 (Switching Protocols) informational status" */
    {"8.6 status 101", C, "HEADERS 1 eh [:status: 101]", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},
    /* "Clients MUST NOT discard responses as a result of receiving such a RST_STREAM" */
    {"8.1 RST_STREAM with NO_ERROR behind a response", C,
     "HEADERS 1 eh @res; DATA 1 'abc'; HEADERS 1 es eh @trl; RST 1 =0",
     "headers 1; data 1 3; headers 1 end; end 1; close 1 NO_ERROR remote", ""},
    {"8.1 a server that has answered asks the client to stop", S,
     "HEADERS 1 eh @req; respond 1; send 1 5; trailers 1", "stream 1; headers 1; close 1 NO_ERROR",
     "HEADERS 1; DATA 1 5; HEADERS 1 es; RST 1 NO_ERROR"},
    {"8.1 what a client that has to stop still sends", S,
     "HEADERS 1 eh @req; respond 1; trailers 1; drain; DATA 1 'abc'; HEADERS 1 es eh @trl",
     "stream 1; headers 1; close 1 NO_ERROR", "HEADERS 1; HEADERS 1 es; RST 1 NO_ERROR"},
    {"8.1 a request in a client's response", C, "HEADERS 1 eh @req", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},

    /* ---- 8.1.1 Malformed Messages: content-length ---- */
    {"8.1.1 content-length", S,
     "HEADERS 1 eh @req [content-length: 5]; DATA 1 'abc'; DATA 1 es 'de'",
     "stream 1; headers 1; data 1 5; end 1", ""},
    {"8.1.1 content-length and padding", S,
     "HEADERS 1 eh @req [content-length: 5]; DATA 1 es pad:9 'abcde'",
     "stream 1; headers 1; data 1 5; end 1", ""},
    {"8.1.1 content-length and trailers", S,
     "HEADERS 1 eh @req [content-length: 3]; DATA 1 'abc'; HEADERS 1 es eh @trl",
     "stream 1; headers 1; data 1 3; headers 1 end; end 1", ""},
    {"8.1.1 content-length 0", S, "HEADERS 1 es eh @req [content-length: 0]",
     "stream 1; headers 1 end; end 1", ""},
    {"8.1.1 content-length 0 and an empty DATA", S,
     "HEADERS 1 eh @req [content-length: 0]; DATA 1 es", "stream 1; headers 1; end 1", ""},
    {"8.1.1 less content than content-length", S,
     "HEADERS 1 eh @req [content-length: 5]; DATA 1 es 'abc'", NULL, "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 less content than content-length, and trailers", S,
     "HEADERS 1 eh @req [content-length: 5]; DATA 1 'abc'; HEADERS 1 es eh @trl",
     "stream 1; headers 1; data 1 3; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 no content, and content-length", S, "HEADERS 1 es eh @req [content-length: 5]",
     "stream 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 more content than content-length", S,
     "HEADERS 1 eh @req [content-length: 5]; DATA 1 'abcde'; DATA 1 es 'f'", NULL,
     "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 more content than content-length in one frame", S,
     "HEADERS 1 eh @req [content-length: 5]; DATA 1 es 'abcdef'", NULL, "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 content, and content-length 0", S,
     "HEADERS 1 eh @req [content-length: 0]; DATA 1 es 'a'", NULL, "RST 1 PROTOCOL_ERROR"},
    BAD_REQUEST("8.1.1 content-length is no number", "@req [content-length: five]"),
    BAD_REQUEST("8.1.1 content-length is negative", "@req [content-length: -1]"),
    BAD_REQUEST("8.1.1 content-length is empty", "@req [content-length: ]"),
    BAD_REQUEST("8.1.1 content-length is beyond 2^64",
                "@req [content-length: 184467440737095516160]"),
    BAD_REQUEST("8.1.1 two content-lengths that differ",
                "@req [content-length: 0] [content-length: 1]"),
    {"8.1.1 a response's content-length", C,
     "HEADERS 1 eh @res [content-length: 3]; DATA 1 es 'abc'", "headers 1; data 1 3; end 1", ""},
    {"8.1.1 a response with less than content-length", C,
     "HEADERS 1 eh @res [content-length: 3]; DATA 1 es 'ab'", NULL, "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 a response with more than content-length", C,
     "HEADERS 1 eh @res [content-length: 3]; DATA 1 es 'abcd'", NULL, "RST 1 PROTOCOL_ERROR"},
    {"8.1.1 a response without content, and content-length", C,
     "HEADERS 1 es eh @res [content-length: 3]", "close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    /* "204 or 304 responses contain no content" and may have a content-length. */
    {"8.1.1 status 304 with content-length", C,
     "HEADERS 1 es eh [:status: 304] [content-length: 3]", "headers 1 end; end 1", ""},

    /* ---- 8.2 HTTP Fields, 8.2.1 Field Validity ----
     * Names: not 0x00-0x20, 0x41-0x5a, 0x7f-0xff, nor a colon. */
    BAD_REQUEST("8.2.1 an upper-case letter begins a name", "@req [Key: v]"),
    BAD_REQUEST("8.2.1 an upper-case letter in a name", "@req [keY: v]"),
    BAD_REQUEST("8.2.1 the letter Z in a name", "@req [Z: v]"),
    BAD_REQUEST("8.2.1 an indexed name in upper case", "@req [+Key: v]"),
    BAD_REQUEST("8.2.1 0x00 in a name", "@req [k%00: v]"),
    BAD_REQUEST("8.2.1 0x1f in a name", "@req [k%1f: v]"),
    BAD_REQUEST("8.2.1 a space in a name", "@req [k k: v]"),
    BAD_REQUEST("8.2.1 a space ends a name", "@req [k%20: v]"),
    BAD_REQUEST("8.2.1 0x7f in a name", "@req [k%7f: v]"),
    BAD_REQUEST("8.2.1 0x80 in a name", "@req [k%80: v]"),
    BAD_REQUEST("8.2.1 0xff in a name", "@req [%ff: v]"),
    BAD_REQUEST("8.2.1 a colon in a name", "@req [k:k: v]"),
    BAD_REQUEST("8.2.1 a colon ends a name", "@req [k%3a: v]"),
    BAD_REQUEST("8.2.1 CR LF in a name", "@req [k%0d%0a: v]"),
    /* [HTTP] 5.1: a name is a token of at least one character; SHOULD be checked. */
    BAD_REQUEST("8.2.1 a name without characters", "@req x0000 x01 'v'"),
    {"8.2.1 a delimiter in a name", S, "HEADERS 1 eh @req [k(k: v]; HEADERS 3 eh @req [k%22: v]",
     NULL, "RST 1 PROTOCOL_ERROR; RST 3 PROTOCOL_ERROR", ""},
    GOOD_REQUEST("8.2.1 all that a name may have", "@req [!#$%25&'*+-.^_`|~09az: v]"),
    /* Values: no NUL, LF, CR. */
    BAD_REQUEST("8.2.1 NUL in a value", "@req [k: a%00b]"),
    BAD_REQUEST("8.2.1 a value is NUL", "@req [k: %00]"),
    BAD_REQUEST("8.2.1 LF in a value", "@req [k: a%0ab]"),
    BAD_REQUEST("8.2.1 LF ends a value", "@req [k: a%0a]"),
    BAD_REQUEST("8.2.1 CR in a value", "@req [k: a%0db]"),
    BAD_REQUEST("8.2.1 CR begins a value", "@req [k: %0db]"),
    BAD_REQUEST("8.2.1 LF in an indexed value", "@req [+k: %0a]"),
    BAD_REQUEST("8.2.1 LF in :path",
                "[:method: GET] [:scheme: http] [:path: /%0a] [:authority: a]"),
    BAD_REQUEST("8.2.1 NUL in :authority",
                "[:method: GET] [:scheme: http] [:path: /] [:authority: a%00]"),
    /* The same field again, now out of the table: forbidden as ever. */
    {"8.2.1 a forbidden field that is referred to", S,
     "HEADERS 1 es eh @req [+k: %0a]; HEADERS 3 es eh @req xbe", NULL,
     "RST 1 PROTOCOL_ERROR; RST 3 PROTOCOL_ERROR"},
    {"8.2.1 a forbidden name that is referred to", S,
     "HEADERS 1 es eh @req [+K: v]; HEADERS 3 es eh @req x0f2f01 'w'", NULL,
     "RST 1 PROTOCOL_ERROR; RST 3 PROTOCOL_ERROR"},
    /* [HTTP] 5.5 forbids other controls: SHOULD be checked, and is. */
    BAD_REQUEST("8.2.1 0x01 in a value", "@req [k: %01]"),
    BAD_REQUEST("8.2.1 0x7f in a value", "@req [k: %7f]"),
    GOOD_REQUEST("8.2.1 0x80 to 0xff in a value", "@req [k: %80%c3%a9%ff]"),
    GOOD_REQUEST("8.2.1 a tab inside a value", "@req [k: a%09b]"),
    GOOD_REQUEST("8.2.1 an empty value", "@req [k: ]"),
    /* A deviation by choice: gRPC permits spaces around a value of metadata. */
    {"8.2.1 spaces around a value", S,
     "HEADERS 1 es eh [:method: POST] [:scheme: http] [:path: /] "
     "[:authority: a] [k: %20v%09]",
     "stream 1; field 1 :method=POST; field 1 :scheme=http; field 1 :path=/; field 1 :authority=a; "
     "field 1 k= v\t; headers 1 end; end 1",
     "", "RST 1 PROTOCOL_ERROR", FIELDS},
    BAD_RESPONSE("8.2.1 an upper-case letter in a response", "@res [Key: v]"),
    BAD_RESPONSE("8.2.1 LF in a response", "@res [k: %0a]"),
    BAD_RESPONSE("8.2.1 NUL in a response's name", "@res [k%00: v]"),
    BAD_RESPONSE("8.2.1 an upper-case letter in an interim response", "[:status: 100] [Key: v]"),
    GOOD_RESPONSE("8.2.1 0x80 to 0xff in a response", "@res [k: %80%ff]"),
    BAD_TRAILERS("8.2.1 an upper-case letter in trailers", "[Key: v]"),
    BAD_TRAILERS("8.2.1 LF in trailers", "[k: a%0a]"),
    BAD_ENDING("8.2.1 an upper-case letter in a response's trailers", "[Key: v]"),
    BAD_ENDING("8.2.1 CR in a response's trailers", "[k: a%0d]"),

    /* ---- 8.2.2 Connection-Specific Header Fields ---- */
    BAD_REQUEST("8.2.2 connection", "@req [connection: close]"),
    BAD_REQUEST("8.2.2 proxy-connection", "@req [proxy-connection: keep-alive]"),
    BAD_REQUEST("8.2.2 keep-alive", "@req [keep-alive: timeout=5]"),
    BAD_REQUEST("8.2.2 transfer-encoding", "@req [transfer-encoding: chunked]"),
    BAD_REQUEST("8.2.2 upgrade", "@req [upgrade: h2c]"),
    BAD_REQUEST("8.2.2 an indexed connection", "@req [+connection: close]"),
    GOOD_REQUEST("8.2.2 te: trailers", "@req [te: trailers]"),
    BAD_REQUEST("8.2.2 te: gzip", "@req [te: gzip]"),
    BAD_REQUEST("8.2.2 te: trailers, gzip", "@req [te: trailers, gzip]"),
    BAD_REQUEST("8.2.2 te is empty", "@req [te: ]"),
    BAD_RESPONSE("8.2.2 connection in a response", "@res [connection: close]"),
    BAD_RESPONSE("8.2.2 transfer-encoding in a response", "@res [transfer-encoding: chunked]"),
    BAD_RESPONSE("8.2.2 upgrade in a response", "@res [upgrade: h2c]"),
    BAD_RESPONSE("8.2.2 keep-alive in a response", "@res [keep-alive: x]"),
    BAD_RESPONSE("8.2.2 proxy-connection in a response", "@res [proxy-connection: x]"),
    BAD_TRAILERS("8.2.2 connection in trailers", "[connection: close]"),
    BAD_TRAILERS("8.2.2 transfer-encoding in trailers", "[transfer-encoding: chunked]"),
    BAD_ENDING("8.2.2 upgrade in a response's trailers", "[upgrade: h2c]"),
    /* 8.2.3: nothing is joined here; cookies pass as they are. */
    GOOD_REQUEST("8.2.3 several cookies", "@req [cookie: a=b] [cookie: c=d]"),

    /* ---- 8.3 HTTP Control Data ---- */
    BAD_REQUEST("8.3 an unknown pseudo-header field", "@req [:unknown: v]"),
    BAD_REQUEST("8.3 a pseudo-header field without a name", "@req [:%3a: v]"),
    BAD_REQUEST("8.3 a colon alone", "@req x00013a x01 'v'"),
    BAD_REQUEST("8.3 a response's in a request", "@req [:status: 200]"),
    BAD_REQUEST("8.3 one in upper case", "@req [:Path: /]"),
    BAD_REQUEST("8.3 behind a field",
                "[:method: GET] [:scheme: http] [k: v] [:path: /] [:authority: a]"),
    BAD_REQUEST("8.3 behind every field", "[k: v] @req"),
    BAD_REQUEST("8.3 :method twice", "@req [:method: POST]"),
    BAD_REQUEST("8.3 :scheme twice", "@req [:scheme: http]"),
    BAD_REQUEST("8.3 :path twice", "@req [:path: /s/m]"),
    BAD_REQUEST("8.3 :authority twice", "@req [:authority: test]"),
    BAD_TRAILERS("8.3 in trailers", "[:path: /]"),
    BAD_TRAILERS("8.3 in trailers, behind a field", "[k: v] [:method: GET]"),
    BAD_TRAILERS("8.3 an unknown one in trailers", "[:unknown: v]"),
    {"8.3 in trailers, one that the request did not have", S,
     "HEADERS 1 eh [:method: GET] [:scheme: http] [:path: /] [host: a]; "
     "HEADERS 1 es eh [:authority: a]",
     "stream 1; headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    BAD_ENDING("8.3 :status in trailers", "[:status: 200]"),
    BAD_ENDING("8.3 an unknown one in a response's trailers", "[:unknown: v]"),
    {"8.3 in any order", S,
     "HEADERS 1 es eh [:authority: a] [:path: /] [:scheme: http] [:method: GET] [k: v]",
     "stream 1; headers 1 end; end 1", ""},
    {"8.3 one that stands in the dynamic table", S,
     "HEADERS 1 es eh @req; HEADERS 3 es eh x82 x86 [+:path: /a] [:authority: a]; "
     "HEADERS 5 es eh x82 x86 xbe [:authority: a]",
     "stream 1; headers 1 end; end 1; stream 3; headers 3 end; end 3; stream 5; headers 5 end; end "
     "5",
     ""},

    /* 8.3.1 Request Pseudo-Header Fields */
    BAD_REQUEST("8.3.1 without :method", "[:scheme: http] [:path: /] [:authority: a]"),
    BAD_REQUEST("8.3.1 without :scheme", "[:method: GET] [:path: /] [:authority: a]"),
    BAD_REQUEST("8.3.1 without :path", "[:method: GET] [:scheme: http] [:authority: a]"),
    BAD_REQUEST("8.3.1 without any", "[k: v]"),
    BAD_REQUEST("8.3.1 without any field", ""),
    BAD_REQUEST("8.3.1 :path is empty", "[:method: GET] [:scheme: http] [:path: ] [:authority: a]"),
    BAD_REQUEST("8.3.1 :method is empty", "[:method: ] [:scheme: http] [:path: /] [:authority: a]"),
    BAD_REQUEST("8.3.1 :path has no slash",
                "[:method: GET] [:scheme: http] [:path: a/b] [:authority: a]"),
    BAD_REQUEST("8.3.1 :path is * and the method not OPTIONS",
                "[:method: GET] [:scheme: http] [:path: *] [:authority: a]"),
    GOOD_REQUEST("8.3.1 OPTIONS *",
                 "[:method: OPTIONS] [:scheme: http] [:path: *] [:authority: a]"),
    GOOD_REQUEST("8.3.1 another method",
                 "[:method: BREW] [:scheme: https] [:path: /] [:authority: a]"),
    GOOD_REQUEST("8.3.1 host and :authority agree",
                 "[:method: GET] [:scheme: http] [:path: /] [:authority: a] [host: a]"),
    /* "A server SHOULD treat a request as malformed" whose host differs: this layer
     * leaves it to who knows the server's names. */
    {"8.3.1 host and :authority differ", S, "HEADERS 1 es eh @req [host: other]", NULL, "",
     "RST 1 PROTOCOL_ERROR"},
    GOOD_REQUEST("8.3.1 host without :authority",
                 "[:method: GET] [:scheme: http] [:path: /] [host: a]"),
    /* :authority is not mandatory, but "A recipient that processes such a URI reference
     * [of http, with an empty host] MUST reject it as invalid" (RFC 9110 4.2.1). */
    {"8.3.1 neither host nor :authority", S,
     "HEADERS 1 es eh [:method: GET] [:scheme: http] [:path: /]", NULL, "RST 1 PROTOCOL_ERROR", ""},

    /* 8.3.2 Response Pseudo-Header Fields */
    BAD_RESPONSE("8.3.2 without :status", "[k: v]"),
    BAD_RESPONSE("8.3.2 without any field", ""),
    BAD_RESPONSE("8.3.2 :status twice", "@res @res"),
    BAD_RESPONSE("8.3.2 :status behind a field", "[k: v] @res"),
    BAD_RESPONSE("8.3.2 a request's pseudo-header field", "@res [:path: /]"),
    BAD_RESPONSE("8.3.2 an unknown pseudo-header field", "@res [:unknown: v]"),
    BAD_RESPONSE("8.3.2 :status is no number", "[:status: abc]"),
    BAD_RESPONSE("8.3.2 :status of two digits", "[:status: 20]"),
    BAD_RESPONSE("8.3.2 :status of four digits", "[:status: 2000]"),
    BAD_RESPONSE("8.3.2 :status is empty", "[:status: ]"),
    BAD_RESPONSE("8.3.2 an interim one twice", "[:status: 100] [:status: 200]"),
    GOOD_RESPONSE("8.3.2 an error", "[:status: 503] [k: v]"),
    GOOD_RESPONSE("8.3.2 an unknown status", "[:status: 299]"),

    /* ---- 8.5 The CONNECT Method ---- */
    {"8.5 CONNECT", S, "HEADERS 1 eh [:method: CONNECT] [:authority: a:1]", "stream 1; headers 1",
     ""},
    BAD_REQUEST("8.5 CONNECT with :scheme", "[:method: CONNECT] [:scheme: http] [:authority: a:1]"),
    BAD_REQUEST("8.5 CONNECT with :path", "[:method: CONNECT] [:path: /] [:authority: a:1]"),
    BAD_REQUEST("8.5 CONNECT without :authority", "[:method: CONNECT]"),
    BAD_REQUEST(
        "8.5 CONNECT with :protocol, which we did not offer",
        "[:method: CONNECT] [:protocol: websocket] [:scheme: http] [:path: /] [:authority: a]"),
    BAD_REQUEST("8.5 :protocol without CONNECT", "@req [:protocol: websocket]"),

    /* ---- 8.7 Request Reliability ---- */
    {"8.7 a refused request", C, "RST 1 =7", "close 1 REFUSED_STREAM remote", ""},

    /* ---- 10.5.1 Limits on Field Block Size ---- */
    {"10.5.1 over the soft limit", S,
     "HEADERS 1 es eh @req [k: 123] [a: 1] [b: 2] [c: 3] [d: 4] [e: 5] "
     "[f: 6] [g: 7] [h: 8] [i: 9] [j: 0] [l: 1]",
     "stream 1; headers 1 end dropped; end 1", "", .config = &hard},
    {"10.5.1 over the hard limit", S, "HEADERS 1 es eh @req [+k: v] 30*be; HEADERS 3 es eh @req",
     "stream 1", "GOAWAY ENHANCE_YOUR_CALM", .config = &hard},
    {"10.5.1 over the hard limit, in pieces", S,
     "HEADERS 1 es @req [+k: v]; 40 CONTINUATION 1 xbe; CONTINUATION 1 eh", "stream 1",
     "GOAWAY ENHANCE_YOUR_CALM", .config = &hard},
    {"10.5.1 over the hard limit, in trailers", S,
     "HEADERS 1 eh @req; HEADERS 1 es eh [+k: v] 30*be", "stream 1; headers 1",
     "GOAWAY ENHANCE_YOUR_CALM", .config = &hard},
    {"10.5.1 over the hard limit, on a stream that we reset", S,
     "HEADERS 1 eh @req; reset 1 8; drain; HEADERS 1 es eh [+k: v] 30*be",
     "stream 1; headers 1; close 1 CANCEL", "GOAWAY ENHANCE_YOUR_CALM", .config = &hard},
    {"10.5.1 over the hard limit, on a stream that is malformed", S,
     "HEADERS 1 es eh @req [A: v] [+k: v] 30*be", NULL, "GOAWAY ENHANCE_YOUR_CALM",
     .config = &hard},
    {"10.5.1 over the hard limit, beyond our GOAWAY", S,
     "goaway 0 0; drain; HEADERS 1 es eh @req [+k: v] 30*be", "", "GOAWAY ENHANCE_YOUR_CALM",
     .config = &hard},
    {"10.5.1 over the soft limit, on a stream that we reset", S,
     "HEADERS 1 eh @req; reset 1 8; drain; HEADERS 1 es eh [+k: v] 20*be",
     "stream 1; headers 1; close 1 CANCEL", "RST 1 CANCEL", .config = &hard},
    {"10.5.1 over the hard limit, at a client", C, "HEADERS 1 es eh @res [+k: v] 30*be", "",
     "GOAWAY ENHANCE_YOUR_CALM", .config = &hard},
};

int main(int argc, char **argv) {
  return wire_main("rfc9113 messages", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
