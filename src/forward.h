/* SPDX-License-Identifier: BSD-2-Clause */
/* forward: what the handler forward is told to do. */
#ifndef DTLSD_FORWARD_H
#define DTLSD_FORWARD_H

#include <stdbool.h>

#include "backend.h"
#include "sources.h"

/* In which datagrams to the backend a PROXY header goes first (proxy2.h). */
enum forward_proxy { FORWARD_PROXY_NONE, FORWARD_PROXY_FIRST, FORWARD_PROXY_EVERY };

struct forward {
	struct backends *backends; /* NULL: nothing is forwarded */
	struct sources sources;
	enum forward_proxy proxy;
	bool move; /* a session whose backend is down gets another one that is up */
};

#endif
