/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer: who answers the clients of a service or of a route: its handler, and what that needs. What is wrong is in the log
 * when a function returns false or NULL.
 */
#ifndef DTLSD_ANSWER_H
#define DTLSD_ANSWER_H

#include <stdbool.h>

#include "service.h"
#include "subject.h"

const struct handler *answer_handler(const struct subject *u);
/* before: what was there in its place, NULL: nothing. *out holds a reference on its backends, if any. */
bool answer_forward(const struct subject *u, const struct forward *before, struct forward *out);
/* The same for the handler exec. What is as it was before goes on, with its process. */
bool answer_exec(const struct subject *u, struct exec *before, struct exec **out);

/* Where the sockets of the service come from. */
bool answer_sources(const struct subject *u, struct sources *out);

struct answer_routes {
	struct service_route route[CONF_ROUTES_MOST];
	char place[CONF_ROUTES_MOST][CONF_PLACE_TEXT];
};

/* All of a service, so that each that is wrong is in the log. answer_routes_clear is due in any case. */
bool answer_routes_make(const struct subject *service, const struct service_config *before, struct answer_routes *out);
void answer_routes_clear(struct answer_routes *r);

#endif
