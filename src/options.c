/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "conf_check.h"
#include "conf_load.h"
#include "setting.h"

#define HELP_COLUMN 40
#define SERVICE_NAME "dtlsd" /* of the command line's */

struct line {
	int argc;
	char **argv;
	struct conf *conf;
	struct conf_service *service; /* NULL: the services are those of a file */
	char *err;
	size_t err_size;
};

/* getopt's own tables, made from the settings. */
struct tables {
	struct option options[CONF_SETTINGS_MOST + 1];
	char letters[2 * CONF_SETTINGS_MOST + 2];
};

static void make_tables(struct tables *t)
{
	struct option *o = t->options;
	char *letter = t->letters;

	memset(t, 0, sizeof(*t));
	*letter++ = ':'; /* a missing argument is told from an unknown option */
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];

		if (!(s->where & SETTING_ON_LINE))
			continue;
		*o++ = (struct option){ s->name, s->argument ? required_argument : no_argument, NULL, (int)(256 + i) };
		if (s->letter)
			*letter++ = s->letter;
	}
}

static const struct setting *find_by_code(int c)
{
	if (c >= 256)
		return &settings[c - 256];
	for (size_t i = 0; i < setting_count; i++)
		if (settings[i].letter == c)
			return &settings[i];
	return NULL;
}

static enum options_verdict apply(struct line *l, const struct setting *s, const char *text)
{
	void *base = s->scope == SETTING_OF_SERVICE ? (void *)l->service : (void *)l->conf;
	char why[300];

	if (s->kind == SETTING_VERDICT)
		return s->offset == SETTING_HELP ? OPTIONS_HELP : OPTIONS_VERSION;
	if (!l->service && !(s->where & SETTING_BESIDE_FILE)) {
		snprintf(l->err, l->err_size, "--%s beside --config: write it into %s instead", s->name, l->conf->file);
		return OPTIONS_BAD;
	}
	if (setting_apply(s, base, text, why, sizeof(why)) < 0) {
		snprintf(l->err, l->err_size, "--%s: %s", s->name, why);
		return OPTIONS_BAD;
	}
	return OPTIONS_RUN;
}

/* c: what getopt said. Among letters in one word it stops at one of them, and has not passed the word by yet. */
static void complain(const struct line *l, int c)
{
	const char letter[] = { '-', (char)optopt, '\0' };
	bool is_letter = optopt > 0 && optopt < 256;

	snprintf(l->err, l->err_size, c == ':' ? "%s needs an argument; dtlsd --help shows it" :
		 "unknown, ambiguous or misused option %s; dtlsd --help shows them all",
		 is_letter ? letter : l->argv[optind - 1]);
}

/* One walk over the options; each(l, setting, text) is called for all of them until its verdict is not OPTIONS_RUN. */
static enum options_verdict walk(struct line *l, enum options_verdict (*each)(struct line *l, const struct setting *s,
									      const char *text))
{
	enum options_verdict v = OPTIONS_RUN;
	struct tables t;
	int c;

	make_tables(&t);
	opterr = 0;
	optind = 0;
	while (v == OPTIONS_RUN && (c = getopt_long(l->argc, l->argv, t.letters, t.options, NULL)) != -1) {
		if (c == '?' || c == ':') {
			complain(l, c);
			return OPTIONS_BAD;
		}
		v = each(l, find_by_code(c), optarg);
	}
	return v;
}

static enum options_verdict find_config(struct line *l, const struct setting *s, const char *text)
{
	if (s->kind == SETTING_VERDICT)
		return apply(l, s, text);
	if (s->scope == SETTING_OF_PROCESS && s->offset == offsetof(struct conf, file))
		return apply(l, s, text);
	return OPTIONS_RUN;
}

static enum options_verdict no_memory(const struct line *l)
{
	snprintf(l->err, l->err_size, "out of memory");
	return OPTIONS_FAILED;
}

static enum options_verdict parse_listeners(struct line *l)
{
	const struct conf_place here = { NULL, 0 };

	if (!l->service) {
		if (optind == l->argc)
			return OPTIONS_RUN;
		snprintf(l->err, l->err_size, "%s beside --config: write it into %s instead, as: listen = \"%s\"",
			 l->argv[optind], l->conf->file, l->argv[optind]);
		return OPTIONS_BAD;
	}
	for (int i = optind; i < l->argc || (i == optind && l->argc == optind); i++) {
		const char *text = i < l->argc ? l->argv[i] : "*";

		if (conf_add_listener(l->conf, l->service, text, here, l->err, l->err_size) < 0)
			return OPTIONS_BAD;
	}
	return OPTIONS_RUN;
}

/* Where the services come from, before the rest of the line is looked at. */
static enum options_verdict begin(struct line *l)
{
	setting_presets(l->conf, SETTING_OF_PROCESS);
	if (l->conf->file)
		return conf_load(l->conf, l->conf->file, l->err, l->err_size) < 0 ? OPTIONS_FAILED : OPTIONS_RUN;
	l->service = conf_add_service(l->conf, SERVICE_NAME, (struct conf_place){ NULL, 0 });
	if (!l->service)
		return no_memory(l);
	setting_presets(l->service, SETTING_OF_SERVICE);
	return OPTIONS_RUN;
}

enum options_verdict options_parse(struct conf **out, int argc, char *argv[], char *err, size_t err_size)
{
	struct line l = { .argc = argc, .argv = argv, .conf = conf_new(), .err = err, .err_size = err_size };
	enum options_verdict v;

	if (!l.conf)
		return no_memory(&l);
	v = walk(&l, find_config);
	if (v == OPTIONS_RUN)
		v = begin(&l);
	if (v == OPTIONS_RUN)
		v = walk(&l, apply);
	if (v == OPTIONS_RUN)
		v = parse_listeners(&l);
	if (v == OPTIONS_RUN && conf_check(l.conf, err, err_size) < 0)
		v = l.conf->file ? OPTIONS_FAILED : OPTIONS_BAD;
	if (v == OPTIONS_RUN)
		*out = l.conf;
	else
		conf_free(l.conf);
	return v;
}

void options_help(FILE *to)
{
	fputs("Usage: dtlsd [OPTION]... [ADDRESS:PORT]...\n"
	      "       dtlsd --config FILE [OPTION]...\n"
	      "Serves DTLS 1.2 on all addresses given: 127.0.0.1:4433 [::1]:4433 [::]:4433 *:4433\n"
	      "(default *:4433, IPv4 and IPv6). Manual: dtlsd(8).\n"
	      "In parentheses: defaults, and the least and the most of numbers.\n\n", to);
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];
		int n;

		if (!(s->where & SETTING_ON_LINE))
			continue;
		n = s->letter ? fprintf(to, "  -%c, --%s", s->letter, s->name) : fprintf(to, "      --%s", s->name);
		if (s->argument)
			n += fprintf(to, " %s", s->argument);
		if (n >= HELP_COLUMN) {
			fputc('\n', to);
			n = 0;
		}
		if (s->kind == SETTING_NUMBER) /* its help ends with the default in parentheses */
			fprintf(to, "%*s%.*s; %u to %u)\n", HELP_COLUMN - n, "", (int)strlen(s->help) - 1, s->help,
				s->least, s->most);
		else
			fprintf(to, "%*s%s\n", HELP_COLUMN - n, "", s->help);
	}
}
