/* SPDX-License-Identifier: BSD-2-Clause */
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int names_parse(struct names *out, const char *list)
{
	char *rest;

	*out = (struct names){ .text = strdup(list) };
	rest = out->text;
	if (rest == NULL)
		return -ENOMEM;
	while (rest != NULL) {
		const char *name = strsep(&rest, ",");

		if (*name == '\0')
			return -EINVAL;
		if (out->count == NAMES_MOST)
			return -E2BIG;
		out->name[out->count++] = name;
	}
	return 0;
}

void names_free(struct names *n)
{
	free(n->text);
	n->text = NULL;
	n->count = 0;
}

bool names_token(const char *name)
{
	return strncasecmp(name, "pkcs11:", strlen("pkcs11:")) == 0;
}
