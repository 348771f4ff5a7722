/* SPDX-License-Identifier: BSD-2-Clause */
#include "handler.h"

#include <string.h>

#include "handlers.h"

const struct handler *const handlers[] = { &handler_command, &handler_echo, &handler_discard, &handler_forward,
					  &handler_connect, &handler_exec, NULL };

const struct handler *handler_find(const char *name)
{
	for (const struct handler *const *h = handlers; *h; h++)
		if (strcmp((*h)->name, name) == 0)
			return *h;
	return NULL;
}
