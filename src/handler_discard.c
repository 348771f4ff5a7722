/* SPDX-License-Identifier: BSD-2-Clause */
/* handler_discard: takes everything, says nothing (RFC 863). */
#include "handlers.h"

static void discard_record(struct session *s, const uint8_t *data, size_t len)
{
	(void)s;
	(void)data;
	(void)len;
}

const struct handler handler_discard = {
	.name = "discard",
	.help = "take every record and say nothing",
	.record = discard_record,
};
