/* RFC 9113 sections 5.2 and 6.9: flow control, as a receiver and as a sender. */
#include "wire.h"

static const h2_config small_stream = {.stream_window = 1000, .max_frame = 131072};
static const h2_config small_session = {.stream_window = 1 << 20,
                                        .session_window = 65535,
                                        .max_frame = 131072};
static const h2_config normal = {.stream_window = 65535, .session_window = 65535};

static const wire_case cases[] = {
    /* ---- 6.9 WINDOW_UPDATE ---- */
    {"6.9 for a stream and for the connection", S, "HEADERS 1 eh @req; WINDOW 1 =1; WINDOW 0 =1",
     "stream 1; headers 1", ""},
    {"6.9 the reserved bit", S, "HEADERS 1 eh @req; WINDOW 1 =0x80000001; WINDOW 0 =0x80000001",
     "stream 1; headers 1", ""},
    /* "a flow-control window increment of 0 as a stream error of type PROTOCOL_ERROR;
     * errors on the connection flow-control window MUST be treated as a connection
     * error" */
    {"6.9 increment 0 of a stream", S, "HEADERS 1 eh @req; WINDOW 1 =0",
     "stream 1; headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"6.9 increment 0 of a half-closed stream", S, "HEADERS 1 es eh @req; WINDOW 1 =0",
     "stream 1; headers 1 end; end 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"6.9 increment 0 with the reserved bit", S, "HEADERS 1 eh @req; WINDOW 1 =0x80000000",
     "stream 1; headers 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR"},
    {"6.9 increment 0 of a stream, at a client", C, "WINDOW 1 =0", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR"},
    {"6.9 increment 0 of a closed stream", S, "HEADERS 1 eh @req; RST 1 =8; WINDOW 1 =0",
     "stream 1; headers 1; close 1 CANCEL remote", "",
     "RST 1 PROTOCOL_ERROR | GOAWAY PROTOCOL_ERROR"},
    {"6.9 increment 0 of an idle stream", S, "WINDOW 1 =0", "", "GOAWAY PROTOCOL_ERROR"},
    {"6.9 increment 0 of the connection", S, "WINDOW 0 =0", "", "GOAWAY PROTOCOL_ERROR"},
    {"6.9 increment 0 of the connection, at a client", C, "WINDOW 0 =0", "",
     "GOAWAY PROTOCOL_ERROR"},
    {"6.9 three octets", S, "HEADERS 1 eh @req; WINDOW 1 3*01", "stream 1; headers 1",
     "GOAWAY FRAME_SIZE"},
    {"6.9 five octets", S, "WINDOW 0 5*01", "", "GOAWAY FRAME_SIZE"},
    {"6.9 no octets, at a client", C, "WINDOW 1", "", "GOAWAY FRAME_SIZE"},
    {"6.9 three octets, on a closed stream", S, "HEADERS 1 eh @req; RST 1 =8; WINDOW 1 3*01", NULL,
     "GOAWAY FRAME_SIZE"},
    /* "A receiver MUST NOT treat this as an error" */
    {"6.9 after END_STREAM", S,
     "HEADERS 1 es eh @req; WINDOW 1 =1; respond 1; trailers 1; drain; WINDOW 1 =1",
     "stream 1; headers 1 end; end 1; close 1 NO_ERROR", "HEADERS 1; HEADERS 1 es"},
    {"6.9 after our RST_STREAM", S,
     "HEADERS 1 eh @req; reset 1 8; drain; WINDOW 1 =1; WINDOW 1 =0x7fffffff",
     "stream 1; headers 1; close 1 CANCEL", "RST 1 CANCEL"},

    /* ---- 6.9.1 The Flow-Control Window: of a sender ---- */
    {"6.9.1 a stream's window at its largest", S, "HEADERS 1 eh @req; WINDOW 1 =0x7fff0000",
     "stream 1; headers 1", ""},
    {"6.9.1 a stream's window too large by one", S, "HEADERS 1 eh @req; WINDOW 1 =0x7fff0001",
     "stream 1; headers 1; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL"},
    {"6.9.1 a stream's window too large in two steps", S,
     "HEADERS 1 eh @req; WINDOW 1 =0x7fff0000; WINDOW 1 =1",
     "stream 1; headers 1; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL"},
    {"6.9.1 a stream's window too large, at a client", C, "WINDOW 1 =0x7fffffff",
     "close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL"},
    {"6.9.1 what was sent makes room in it", S,
     "HEADERS 1 eh @req; respond 1; send 1 1; drain; WINDOW 1 =0x7fff0001", "stream 1; headers 1",
     "HEADERS 1; DATA 1 1"},
    {"6.9.1 the connection's window at its largest", S, "WINDOW 0 =0x7fff0000", "", ""},
    {"6.9.1 the connection's window too large by one", S, "WINDOW 0 =0x7fff0001", "",
     "GOAWAY FLOW_CONTROL"},
    {"6.9.1 the connection's window too large in two steps", C, "WINDOW 0 =0x7fff0000; WINDOW 0 =1",
     "", "GOAWAY FLOW_CONTROL"},
    {"6.9.1 a stream's window is used up", S,
     "HEADERS 1 es eh @req; respond 1; send 1 70000; drain; WINDOW 1 =10; drain; WINDOW 1 =10",
     "stream 1; headers 1 end; end 1", "HEADERS 1; DATA 1 65535"},
    {"6.9.1 the connection's window is used up", S,
     "SETTINGS 0 4=1000000; HEADERS 1 es eh @req; respond 1; send 1 100000; drain; WINDOW 0 =7",
     "settings; stream 1; headers 1 end; end 1", "SETTINGS ack; HEADERS 1; DATA 1 65542"},
    {"6.9.1 both windows count", S,
     "HEADERS 1 es eh @req; respond 1; send 1 70000; drain; WINDOW 1 =10; drain; WINDOW 0 =4",
     "stream 1; headers 1 end; end 1", "HEADERS 1; DATA 1 65539"},
    {"6.9.1 streams share the connection's window", S,
     "HEADERS 1 es eh @req; HEADERS 3 es eh @req; respond 1; send 1 65000; drain; respond 3; "
     "send 3 65000; drain",
     NULL, "HEADERS 1; DATA 1 65000; HEADERS 3; DATA 3 535"},
    {"6.9.1 trailers wait for the payload", S,
     "SETTINGS 0 4=5; HEADERS 1 es eh @req; respond 1; send 1 8; trailers 1; drain; WINDOW 1 =2; "
     "drain; WINDOW 1 =5",
     "settings; stream 1; headers 1 end; end 1; close 1 NO_ERROR",
     "SETTINGS ack; HEADERS 1; DATA 1 8; HEADERS 1 es"},
    /* "Frames with zero length with the END_STREAM flag set MAY be sent": and we do, so
     * that a stream ends when its user says so. */
    {"6.9.1 an empty END_STREAM needs no window", S,
     "SETTINGS 0 4=0; HEADERS 1 es eh @req; respond 1; finish 1",
     "settings; stream 1; headers 1 end; end 1; close 1 NO_ERROR",
     "SETTINGS ack; HEADERS 1; DATA 1 es 0"},
    {"6.9.1 header blocks need no window", S,
     "SETTINGS 0 4=0; HEADERS 1 es eh @req; respond 1; trailers 1",
     "settings; stream 1; headers 1 end; end 1; close 1 NO_ERROR",
     "SETTINGS ack; HEADERS 1; HEADERS 1 es"},
    {"6.9.1 a client's window is used up", C,
     "send 1 70000; drain; WINDOW 1 =3; WINDOW 0 =3; finish 1", "", "DATA 1 65538"},

    /* ---- 6.9.1, of a receiver: "The sender MUST NOT send a flow-controlled frame with
     * a length that exceeds the space available in either" window. 6.9 permits a
     * stream error or a connection error of type FLOW_CONTROL_ERROR: it is a stream's
     * error for a stream's window and a connection's for the connection's. ---- */
    {"6.9.1 a stream's window is filled", S, "HEADERS 1 eh @req; DATA 1 1000*61",
     "stream 1; headers 1; data 1 1000", "", .config = &small_stream},
    {"6.9.1 a stream's window is overrun", S, "HEADERS 1 eh @req; DATA 1 1000*61; DATA 1 'a'",
     "stream 1; headers 1; data 1 1000; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL",
     "GOAWAY FLOW_CONTROL", 0, &small_stream},
    {"6.9.1 a stream's window is overrun in one frame", S, "HEADERS 1 eh @req; DATA 1 1001*61",
     "stream 1; headers 1; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL", "GOAWAY FLOW_CONTROL", 0,
     &small_stream},
    {"6.9.1 the head alone shows it", S, "HEADERS 1 eh @req; DATA 1 len:1001",
     "stream 1; headers 1; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL", "GOAWAY FLOW_CONTROL",
     INSIDE, &small_stream},
    {"6.9.1 a stream's window is overrun by padding", S, "HEADERS 1 eh @req; DATA 1 pad:255 745*61",
     "stream 1; headers 1; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL", "GOAWAY FLOW_CONTROL", 0,
     &small_stream},
    {"6.9.1 a stream's window is filled by padding", S, "HEADERS 1 eh @req; DATA 1 pad:255 744*61",
     "stream 1; headers 1; data 1 744", "", .config = &small_stream},
    {"6.9.1 END_STREAM does not heal it", S, "HEADERS 1 eh @req; DATA 1 es 1001*61",
     "stream 1; headers 1; close 1 FLOW_CONTROL", "RST 1 FLOW_CONTROL", "GOAWAY FLOW_CONTROL", 0,
     &small_stream},
    {"6.9.1 an empty frame fits always", S, "HEADERS 1 eh @req; DATA 1 1000*61; DATA 1 es",
     "stream 1; headers 1; data 1 1000; end 1", "", .config = &small_stream},
    {"6.9.1 an empty frame fits into a window that our SETTINGS made negative", S,
     "MAGIC; SETTINGS 0; HEADERS 1 eh @req; DATA 1 2000*61; SETTINGS 0 ack; DATA 1 es",
     "settings; stream 1; headers 1; data 1 2000; end 1", "SETTINGS ack", NULL, RAW, &small_stream},
    {"6.9.2 what comes into a window that our SETTINGS made negative", S,
     "MAGIC; SETTINGS 0; HEADERS 1 eh @req; DATA 1 2000*61; SETTINGS 0 ack; DATA 1 'a'",
     "settings; stream 1; headers 1; data 1 2000; close 1 FLOW_CONTROL",
     "SETTINGS ack; RST 1 FLOW_CONTROL", "GOAWAY FLOW_CONTROL", RAW, &small_stream},
    {"6.9.1 what was consumed can be sent again", S,
     "HEADERS 1 eh @req; DATA 1 1000*61; consume 1 1000; drain; DATA 1 es 1000*61",
     "stream 1; headers 1; data 1 2000; end 1", "WINDOW 1 +1000", .config = &small_stream},
    {"6.9.1 each stream has its own window", S,
     "HEADERS 1 eh @req; HEADERS 3 eh @req; DATA 1 1000*61; DATA 3 1000*61",
     "stream 1; headers 1; data 1 1000; stream 3; headers 3; data 3 1000", "",
     .config = &small_stream},
    {"6.9.1 the connection's window is overrun in one frame", S,
     "HEADERS 1 eh @req; DATA 1 65536*61", "stream 1; headers 1", "GOAWAY FLOW_CONTROL", NULL, 0,
     &small_session},
    {"6.9.1 the connection's window is filled in one frame", S,
     "HEADERS 1 eh @req; DATA 1 65535*61", "stream 1; headers 1; data 1 65535", "",
     .config = &small_session},
    /* Between the frames, the window would be given back to a peer whose bytes come in
     * pieces. */
    {"6.9.1 the connection's window is overrun", S,
     "HEADERS 1 eh @req; HEADERS 3 eh @req; DATA 1 40000*61; DATA 3 40000*61", NULL,
     "GOAWAY FLOW_CONTROL", NULL, WHOLE, &small_session},
    {"6.9.1 the connection's window is overrun at a client", C,
     "HEADERS 1 eh @res; DATA 1 65535*61; DATA 1 'a'", NULL, "GOAWAY FLOW_CONTROL", NULL, WHOLE,
     &small_session},
    /* "A receiver that receives a flow-controlled frame MUST always account for its
     * contribution against the connection flow-control window ... even if the frame is
     * in error": and it is given back. */
    {"6.9 DATA of a stream that we reset is given back", S,
     "HEADERS 1 eh @req; reset 1 8; drain; 4 DATA 1 16000*61; drain; 4 DATA 1 16000*61; drain; "
     "4 DATA 1 16000*61",
     "stream 1; headers 1; close 1 CANCEL", "RST 1 CANCEL", .config = &normal},
    {"6.9 DATA of a malformed stream is given back", S,
     "HEADERS 1 eh @req [A: v]; drain; 4 DATA 1 16000*61; drain; 4 DATA 1 16000*61; drain; "
     "4 DATA 1 16000*61",
     "stream 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR", .config = &normal},
    {"6.9 DATA beyond our GOAWAY is given back", S,
     "goaway 0 0; drain; HEADERS 1 eh @req; 4 DATA 1 16000*61; drain; 4 DATA 1 16000*61; drain; "
     "4 DATA 1 16000*61",
     "", "GOAWAY NO_ERROR", .config = &normal},
    {"6.9 padding is given back", S,
     "HEADERS 1 eh @req; 200 DATA 1 pad:255; drain; 200 DATA 1 pad:255; drain; 200 DATA 1 pad:255",
     "stream 1; headers 1", NULL, .config = &normal},

    /* ---- 6.9.2 Initial Flow-Control Window Size ---- */
    {"6.9.2 a smaller one", S, "SETTINGS 0 4=10; HEADERS 1 es eh @req; respond 1; send 1 50",
     "settings; stream 1; headers 1 end; end 1", "SETTINGS ack; HEADERS 1; DATA 1 10"},
    {"6.9.2 a larger one lets open streams go on", S,
     "SETTINGS 0 4=10; HEADERS 1 es eh @req; respond 1; send 1 50; drain; SETTINGS 0 4=30", NULL,
     "SETTINGS ack; HEADERS 1; DATA 1 10; SETTINGS ack; DATA 1 20"},
    {"6.9.2 a stream's own updates stay", S,
     "SETTINGS 0 4=10; HEADERS 1 es eh @req; WINDOW 1 =5; respond 1; send 1 50; drain; SETTINGS 0 "
     "4=20",
     NULL, "SETTINGS ack; HEADERS 1; DATA 1 15; SETTINGS ack; DATA 1 10"},
    {"6.9.2 several in one frame: the last", S,
     "SETTINGS 0 4=10; HEADERS 1 es eh @req; respond 1; send 1 50; drain; SETTINGS 0 4=50 4=0 4=30",
     NULL, "SETTINGS ack; HEADERS 1; DATA 1 10; SETTINGS ack; DATA 1 20"},
    {"6.9.2 the connection's window is not altered", S,
     "SETTINGS 0 4=1; SETTINGS 0 4=0x7fffffff; HEADERS 1 es eh @req; respond 1; send 1 70000", NULL,
     "SETTINGS ack; SETTINGS ack; HEADERS 1; DATA 1 65535"},
    /* "A sender MUST track the negative flow-control window" */
    {"6.9.2 a negative window", S,
     "SETTINGS 0 4=100; HEADERS 1 es eh @req; respond 1; send 1 300; drain; SETTINGS 0 4=0; drain; "
     "WINDOW 1 =60; drain; WINDOW 1 =40; drain; WINDOW 1 =7",
     NULL, "SETTINGS ack; HEADERS 1; DATA 1 100; SETTINGS ack; DATA 1 7"},
    {"6.9.2 a negative window and SETTINGS", S,
     "SETTINGS 0 4=100; HEADERS 1 es eh @req; respond 1; send 1 300; drain; SETTINGS 0 4=0; drain; "
     "SETTINGS 0 4=50; drain; SETTINGS 0 4=103",
     NULL,
     "SETTINGS ack; HEADERS 1; DATA 1 100; SETTINGS ack; SETTINGS ack; SETTINGS ack; DATA 1 3"},
    {"6.9.2 END_STREAM in a negative window", S,
     "SETTINGS 0 4=100; HEADERS 1 es eh @req; respond 1; send 1 100; drain; SETTINGS 0 4=0; drain; "
     "finish 1",
     NULL, "SETTINGS ack; HEADERS 1; DATA 1 100; SETTINGS ack; DATA 1 es 0"},
    {"6.9.2 a negative window at a client", C,
     "send 1 60000; drain; SETTINGS 0 4=16384; send 1 10; drain; WINDOW 1 =43616; drain; WINDOW 1 "
     "=1",
     "settings", "DATA 1 60000; SETTINGS ack; DATA 1 1"},
    {"6.9.2 a negative window and the largest update", S,
     "SETTINGS 0 4=100; HEADERS 1 es eh @req; respond 1; send 1 100; drain; SETTINGS 0 4=0; "
     "WINDOW 1 =0x7fffffff",
     NULL, "SETTINGS ack; HEADERS 1; DATA 1 100; SETTINGS ack"},
    /* "MUST treat a change to SETTINGS_INITIAL_WINDOW_SIZE that causes any flow-control
     * window to exceed the maximum size as a connection error of type
     * FLOW_CONTROL_ERROR" */
    {"6.9.2 it makes a stream's window too large", S,
     "HEADERS 1 es eh @req; WINDOW 1 =0x7fff0000; SETTINGS 0 4=65536", NULL, "GOAWAY FLOW_CONTROL"},
    {"6.9.2 it makes a stream's window too large in between", S,
     "HEADERS 1 es eh @req; WINDOW 1 =0x7fff0000; SETTINGS 0 4=65536 4=1", NULL,
     "GOAWAY FLOW_CONTROL"},
    {"6.9.2 it makes a stream's window the largest", S,
     "HEADERS 1 es eh @req; WINDOW 1 =0x7ffeffff; SETTINGS 0 4=65536",
     "settings; stream 1; headers 1 end; end 1", "SETTINGS ack"},
    {"6.9.2 it makes a stream's window too large, at a client", C,
     "WINDOW 1 =1; SETTINGS 0 4=0x7fffffff", NULL, "GOAWAY FLOW_CONTROL"},
    {"6.9.2 a closed stream has no window", S,
     "HEADERS 1 es eh @req; WINDOW 1 =0x7fff0000; RST 1 =8; SETTINGS 0 4=0x7fffffff",
     "settings; stream 1; headers 1 end; end 1; close 1 CANCEL remote", "SETTINGS ack"},
};

int main(int argc, char **argv) {
  return wire_main("rfc9113 windows", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
