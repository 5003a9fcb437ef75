/* Call credentials as a call sees them: a list of plugins, asked one after the other. */
#ifndef CLIENT_CREDENTIALS_H
#define CLIENT_CREDENTIALS_H

#include "conn/chain.h"

#include <caw/credentials.h>

/* How many plugins these are; 0 for NULL. */
size_t credentials_count(const caw_call_credentials *credentials);

/* Asks the i-th: 0, CAW_PENDING, or what it said. */
int credentials_ask(const caw_call_credentials *credentials, size_t i, call_chain *chain,
                    const caw_credentials_context *context);

/* Describes the call to plugins, in the chain's arena. 0 or CAW_ENOMEM. */
int credentials_context(caw_credentials_context *out, call_chain *chain, const char *authority);

/* With what the call fails when a plugin says `rc`. */
int credentials_code(int rc);

#endif
