/* SPDX-License-Identifier: BSD-2-Clause */
/* handler_command: one line of text in, one record of text out; for people and for tests. */
#include "handlers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "bus.h"
#include "session.h"

#define ANSWER_MAX 512

static void say(struct session *s, const char *text)
{
	(void)session_send(s, text, strlen(text));
}

static void do_ping(struct session *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	say(s, "pong\n");
}

static void do_echo(struct session *s, const char *text, size_t len)
{
	char line[1200];

	if (len < sizeof(line)) {
		memcpy(line, text, len);
		line[len] = '\n';
		(void)session_send(s, line, len + 1);
	} else {
		(void)session_send(s, text, len);
	}
}

static void do_whoami(struct session *s, const char *text, size_t len)
{
	char peer[ADDR_TEXT_MAX], line[ANSWER_MAX];
	const char *identity = session_identity(s), *alpn = session_alpn(s);

	(void)text;
	(void)len;
	addr_format(session_peer(s), peer);
	snprintf(line, sizeof(line), "%s%s%s%s%s\n", peer, identity ? " " : "", identity ? identity : "",
		 alpn ? ", ALPN " : "", alpn ? alpn : "");
	say(s, line);
}

static void do_stats(struct session *s, const char *text, size_t len)
{
	int err;

	(void)text;
	(void)len;
	err = bus_roster(session_env(s)->bus, s);
	if (err == -EAGAIN)
		say(s, "error: too many ask at once, try again later\n");
	else if (err < 0)
		say(s, "error: out of memory, try again later\n");
}

static void do_bc(struct session *s, const char *text, size_t len)
{
	char line[1200], peer[ADDR_TEXT_MAX];
	int n;

	if (len == 0) {
		say(s, "error: bc wants a text: bc TEXT\n");
		return;
	}
	n = snprintf(line, sizeof(line), "%s: %.*s\n", addr_format(session_peer(s), peer), (int)len, text);
	if (n < 0 || (size_t)n >= sizeof(line))
		say(s, "error: the text is too long, 1100 bytes at most\n");
	else if (bus_broadcast(session_env(s)->bus, (const uint8_t *)line, (size_t)n) < 0)
		say(s, "error: out of memory, try again later\n");
}

static void do_help(struct session *s, const char *text, size_t len);

static const struct command {
	const char *name;
	bool argument;
	void (*run)(struct session *s, const char *text, size_t len);
	const char *help;
} commands[] = {
	{ "ping", false, do_ping, "ping        answers pong" },
	{ "echo", true, do_echo, "echo TEXT   answers TEXT" },
	{ "whoami", false, do_whoami, "whoami      your address and port, your identity if you have one, the protocol" },
	{ "stats", false, do_stats, "stats       the number of sessions and some of them" },
	{ "bc", true, do_bc, "bc TEXT     sends TEXT to all clients" },
	{ "help", false, do_help, "help        this list" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void do_help(struct session *s, const char *text, size_t len)
{
	char all[ANSWER_MAX];
	size_t at = 0;

	(void)text;
	(void)len;
	for (size_t i = 0; i < COMMANDS; i++)
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s\n", commands[i].help);
	(void)session_send(s, all, at);
}

static void command_record(struct session *s, const uint8_t *data, size_t len)
{
	const char *line = (const char *)data, *space;
	size_t word, rest = 0;

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r' || line[len - 1] == '\0'))
		len--;
	if (len == 0)
		return;
	space = memchr(line, ' ', len);
	word = space ? (size_t)(space - line) : len;
	if (space)
		rest = len - word - 1;
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];

		if (strlen(c->name) != word || memcmp(c->name, line, word) != 0)
			continue;
		if (rest > 0 && !c->argument)
			say(s, "error: this command takes no argument; try help\n");
		else
			c->run(s, space ? space + 1 : line, rest);
		return;
	}
	say(s, "error: unknown command; try help\n");
}

const struct handler handler_command = {
	.name = "command",
	.help = "answer ping, echo TEXT, whoami, stats, bc TEXT, help",
	.record = command_record,
};
