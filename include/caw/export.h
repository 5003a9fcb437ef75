/*
 * Linkage of Caw's public functions. Every other public header includes this
 * one; a program never needs to.
 */
#ifndef CAW_EXPORT_H
#define CAW_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define CAW_API                __attribute__((visibility("default")))
#define CAW_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define CAW_MUST_USE           __attribute__((warn_unused_result))
#else
#define CAW_API
#define CAW_PRINTF(fmt, first)
#define CAW_MUST_USE
#endif

#ifdef __cplusplus
#define CAW_BEGIN_DECLS extern "C" {
#define CAW_END_DECLS   }
#else
#define CAW_BEGIN_DECLS
#define CAW_END_DECLS
#endif

#endif
