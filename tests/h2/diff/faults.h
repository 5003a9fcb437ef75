/* src/h2 with one fault, to see that the comparison finds each of them. */
#ifndef DIFF_FAULTS_H
#define DIFF_FAULTS_H

#include "face.h"

extern const h2_face face_faulty;
extern const char *const fault_names[];
extern const unsigned fault_count;
extern unsigned fault; /* which one face_faulty has; fault_count: none */

#endif
