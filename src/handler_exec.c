/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handler_exec: a program of the operator's answers, over a pair of SOCK_SEQPACKET sockets that is its standard input
 * and output: a datagram there is a record. Each session has a process of its own, or all of a service are at the desk
 * of one (desk.h). In what the two are unlike a session's state says which: a reload may change it for those that come.
 */
#include "handlers.h"

#include <errno.h>
#include <stdlib.h>

#include "about_text.h"
#include "bus.h"
#include "desk.h"
#include "exec.h"
#include "log.h"
#include "metrics.h"
#include "service.h"
#include "session.h"
#include "upstream.h"

struct execution {
	struct upstream_socket socket; /* first; to the session's own process */
	struct session *session;
	struct member *member;         /* NULL: it has one of its own */
};

/* ---- what a process of one session says ---- */

static void settle(struct session *s)
{
	struct bus *bus = session_env(s)->bus;

	bus->settle(bus->settle_ctx, s);
}

static void on_reply(struct upstream_socket *socket, uint8_t *data, size_t len)
{
	struct session *s = ((struct execution *)(void *)socket)->session;

	(void)session_send(s, data, len); /* as of forward */
	settle(s);
}

static void on_ended(struct upstream_socket *socket)
{
	struct session *s = ((struct execution *)(void *)socket)->session;

	session_close(s, SESSION_END_LOCAL);
	settle(s);
}

static const struct upstream_owner owner = { .reply = on_reply, .ended = on_ended };

/* ---- sessions ---- */

static const char *advice_on(int err)
{
	switch (err) {
	case -EDQUOT:
		return "there are as many processes, or sockets to them, as may be: raise exec-processes or forward-sockets";
	case -EBUSY:
		return "too many were started this second: raise exec-rate";
	case -EAGAIN:
		return "processes are started more slowly than clients come: lower exec-rate, which tells them sooner";
	case -ENOTCONN:
		return "the process \"dtlsd-keeper\", which starts them, is gone: it comes back, and the log says what ended it";
	case -EMFILE:
	case -ENFILE:
		return "too many open files: raise LimitNOFILE or \"ulimit -n\", and the sysctl fs.file-max";
	default:
		return "the system is short of memory: give it more, or lower --max-sessions";
	}
}

static int start_process(struct exec *x, struct execution *e)
{
	struct env *env = session_env(e->session);
	char about[ABOUT_TEXT_MAX];
	unsigned count;
	size_t len = about_text(e->session, (uint64_t)env->bus->index << 56 | e->session->serial, about, &count);
	int fd = exec_start(x, (struct spawner_text){ about, len }, count, env->now);

	return fd < 0 ? fd : upstream_adopt(env->upstream, &e->socket, fd, false, &owner);
}

static int exec_open(struct session *s)
{
	struct exec *x = service_exec(&session_env(s)->services[s->listener]->config, s->route);
	struct execution *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->session = s;
	err = exec_shared(x) ? desk_join(x, s, &e->member) : start_process(x, e);
	if (err < 0) {
		free(e);
		metric_inc(session_env(s)->metrics, METRIC_limited_processes);
		log_limited(LOG_WARNING_, &s->node.flow, "no process for this session: %s", advice_on(err));
		return err;
	}
	session_set_state(s, e);
	return 0;
}

static void exec_close(struct session *s)
{
	struct execution *e = session_state(s);

	if (e->member)
		desk_leave(e->member);
	else
		upstream_close(session_env(s)->upstream, &e->socket);
	free(e);
}

static void exec_record(struct session *s, const uint8_t *data, size_t len)
{
	struct execution *e = session_state(s);
	struct env *env = session_env(s);

	if (e->member) {
		desk_record(e->member, data, len);
	} else if (len > 0) {
		upstream_send(env->upstream, &e->socket, NULL, 0, data, len);
	} else {
		metric_inc(env->metrics, METRIC_exec_lost);
		log_limited(LOG_INFO_, &s->node.flow, "an empty record is not given to its process, which would take it for "
			    "the end; exec-mode = service can");
	}
}

const struct handler handler_exec = {
	.name = "exec",
	.help = "hand every record to a process, one for each session or one for all, and its answers back",
	.open = exec_open,
	.record = exec_record,
	.close = exec_close,
};
