/* SPDX-License-Identifier: BSD-2-Clause */
#include "job.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define PAUSE_FIRST_MS 1000
#define PAUSE_MOST_MS 60000
#define SOUND_MS 60000 /* one that ran so long begins with the first pause again */

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

void job_end_text(int status, char *out, size_t size)
{
	if (WIFEXITED(status))
		snprintf(out, size, "has ended with status %d", WEXITSTATUS(status));
	else
		snprintf(out, size, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
}

uint64_t job_pause(uint64_t last, uint64_t ran)
{
	if (last == 0 || ran >= SOUND_MS)
		return PAUSE_FIRST_MS;
	return 2 * last < PAUSE_MOST_MS ? 2 * last : PAUSE_MOST_MS;
}
