/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handler_connect: the name of services that are clients. Nobody opens a session with them: what local peers send goes
 * over sessions of tunnels.c.
 */
#include "handlers.h"

const struct handler handler_connect = {
	.name = "connect",
	.help = "carry plain datagrams to a DTLS server, as its client",
};
