/*
 * The oracle's symbols by other names than those of src/h2, so that both can be
 * linked into one program. The compiler includes this file before each of the
 * oracle's (-include), which therefore read as they would in src/h2. Types need
 * no other names: the two sides never see into each other's.
 */
#ifndef ORACLE_NAMES_H
#define ORACLE_NAMES_H

/* h2/h2.h; h2_token_of is src/h2's for both. */
#define h2_session_new  oracle_session_new
#define h2_session_free oracle_session_free
#define h2_recv         oracle_recv
#define h2_output       oracle_output
#define h2_written      oracle_written
#define h2_want_output  oracle_want_output
#define h2_finished     oracle_finished
#define h2_request      oracle_request
#define h2_respond      oracle_respond
#define h2_send         oracle_send
#define h2_finish       oracle_finish
#define h2_reset        oracle_reset
#define h2_consume      oracle_consume
#define h2_goaway       oracle_goaway
#define h2_last_id      oracle_last_id
#define h2_ping         oracle_ping
#define h2_noise        oracle_noise
#define h2_queued       oracle_queued
#define h2_stream_id    oracle_stream_id

/* oracle/session.h */
#define stream_of          oracle_stream_of
#define stream_part        oracle_stream_part
#define stream_new         oracle_stream_new
#define stream_drop        oracle_stream_drop
#define stream_close       oracle_stream_close
#define stream_end         oracle_stream_end
#define stream_clear       oracle_stream_clear
#define session_fail       oracle_session_fail
#define session_check_open oracle_session_check_open
#define session_pump       oracle_session_pump
#define recv_callbacks     oracle_recv_callbacks
#define send_callbacks     oracle_send_callbacks

/* face.c */
#define FACE face_oracle

#endif
