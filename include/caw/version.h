/*
 * The version of Caw: of the headers as macros, of the library as a function.
 * The two differ when a program runs with another library than it was
 * compiled against.
 */
#ifndef CAW_VERSION_H
#define CAW_VERSION_H

#include <caw/export.h>

CAW_BEGIN_DECLS

#define CAW_VERSION_MAJOR 0
#define CAW_VERSION_MINOR 1
#define CAW_VERSION_PATCH 0
#define CAW_VERSION       "0.1.0"

/*
 * Returns the version of the library as "MAJOR.MINOR.PATCH", a static string.
 * Any thread. Since 0.1.
 */
CAW_API const char *caw_version(void);

CAW_END_DECLS

#endif
