/* SPDX-License-Identifier: BSD-2-Clause */
#include "job.h"

#include <string.h>

/* The text at *at, which moves behind it. NULL: there is none. */
static char *take_text(char *data, size_t len, size_t *at)
{
	char *text = data + *at, *end = memchr(text, '\0', len - *at);

	if (!end)
		return NULL;
	*at = (size_t)(end + 1 - data);
	return text;
}

static bool take_texts(char **out, unsigned count, char *data, size_t len, size_t *at)
{
	for (unsigned i = 0; i < count; i++) {
		out[i] = take_text(data, len, at);
		if (!out[i])
			return false;
	}
	out[count] = NULL;
	return true;
}

bool job_read(struct job *j, char *data, size_t len)
{
	size_t at = sizeof(j->head);

	if (len < sizeof(j->head))
		return false;
	memcpy(&j->head, data, sizeof(j->head));
	if (j->head.kind == JOB_END)
		return len == at;
	if (j->head.kind != JOB_START || j->head.words == 0 || j->head.words > WORDS_MOST ||
	    j->head.env > JOB_TEXTS_MOST || j->head.group >= JOB_GROUPS)
		return false;
	j->service = take_text(data, len, &at);
	j->directory = j->service ? take_text(data, len, &at) : NULL;
	return j->directory && take_texts(j->argv, j->head.words, data, len, &at) &&
	       take_texts(j->env, j->head.env, data, len, &at) && at == len;
}
