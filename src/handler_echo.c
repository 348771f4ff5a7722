/* SPDX-License-Identifier: BSD-2-Clause */
/* handler_echo: every record goes back as it came. */
#include "handlers.h"

#include "session.h"

static void echo_record(struct session *s, const uint8_t *data, size_t len)
{
	/* what the queue has no room for is lost and counted, as in any UDP echo (RFC 862) */
	(void)session_send(s, data, len);
}

const struct handler handler_echo = {
	.name = "echo",
	.help = "send every record back",
	.record = echo_record,
};
