/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handler_forward: every record goes to a backend as one datagram, and its datagrams come back as records. A session
 * has a socket of its own, so that the backend tells sessions apart by their source addresses and can answer
 * at any time. While the backend is down the session stays and records are dropped, as the network would.
 */
#include "handlers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"
#include "forward.h"
#include "log.h"
#include "metrics.h"
#include "proxy2.h"
#include "service.h"
#include "session.h"
#include "tls_about.h"
#include "upstream.h"

struct forwarding {
	struct upstream_socket socket; /* first */
	struct session *session;
	struct backends *backends; /* a reference: those of the configuration that it was given its backend by */
	enum forward_proxy proxy;  /* as that says, too: what its backend is used to */
	uint16_t index;            /* which of them */
	bool trial;                /* the next record tells whether that one is back */
	bool open;
	bool introduced;           /* the backend has had the header, where the first datagram carries it */
	uint16_t head_len;
	uint8_t head[];            /* PROXY header */
};

static const struct forward *settings_of(const struct session *s)
{
	return service_forward(&s->env->services[s->listener]->config, s->route);
}

/* ---- what the socket says ---- */

static void on_reply(struct upstream_socket *socket, uint8_t *data, size_t len)
{
	struct forwarding *f = (struct forwarding *)(void *)socket;
	struct session *s = f->session;
	struct env *env = session_env(s);

	backends_heard(f->backends, f->index, env->now);
	/* what is too large, or finds the queue full, is counted there and lost as a whole */
	(void)session_send(s, data, len);
	env->bus->settle(env->bus->settle_ctx, s);
}

static void on_refused(struct upstream_socket *socket, int err)
{
	struct forwarding *f = (struct forwarding *)(void *)socket;

	backends_refused(f->backends, f->index, err, session_env(f->session)->now);
}

static const struct upstream_owner owner = { .reply = on_reply, .refused = on_refused };

/* ---- sessions ---- */

static const char *text_or_none(const char *text)
{
	return *text ? text : NULL;
}

/* Of a session that opened when no header was wanted: what the handshake told is gone. */
static size_t make_bare_head(const struct session *s, uint8_t out[static PROXY2_MAX])
{
	const struct proxy2 p = { .flow = &s->node.flow, .version = "DTLSv1.2" };

	return proxy2_write(&p, out);
}

static size_t make_head(const struct session *s, uint8_t out[static PROXY2_MAX])
{
	const struct tls_about *about = session_env(s)->about;
	const struct proxy2 p = {
		.flow = &s->node.flow,
		.alpn = text_or_none(about->alpn),
		.authority = text_or_none(about->server_name),
		.version = "DTLSv1.2",
		.cipher = text_or_none(about->cipher),
		.common_name = text_or_none(about->common_name),
		.psk_identity = about->psk_identity,
		.psk_identity_len = about->psk_identity_len,
		.certificate = about->certificate,
		.verified = about->certificate,
	};

	return proxy2_write(&p, out);
}

/* The session's socket, to the backend of that index; there is none yet. */
static int take_backend(struct forwarding *f, const struct forward *settings, unsigned index)
{
	struct env *env = session_env(f->session);
	int err;

	backends_ref(settings->backends);
	backends_unref(f->backends);
	f->backends = settings->backends;
	f->proxy = settings->proxy;
	f->index = (uint16_t)index;
	f->introduced = false;
	err = upstream_open(env->upstream, &f->socket, backends_addr(f->backends, index), &settings->sources,
			    &owner);
	f->open = err == 0;
	return err;
}

static void explain_no_socket(const struct session *s, int err)
{
	log_limited(LOG_WARNING_, &s->node.flow, "no socket for this session's backend: %s", upstream_advice(err));
}

static int forward_open(struct session *s)
{
	const struct forward *settings = settings_of(s);
	uint8_t head[PROXY2_MAX];
	size_t len = settings->proxy == FORWARD_PROXY_NONE ? 0 : make_head(s, head);
	struct forwarding *f = calloc(1, sizeof(*f) + len);
	unsigned index;
	int err;

	if (!f)
		return -ENOMEM;
	f->session = s;
	f->head_len = (uint16_t)len;
	memcpy(f->head, head, len);
	index = backends_choose(settings->backends, session_env(s)->now, &f->trial);
	err = take_backend(f, settings, index);
	if (err < 0) {
		backends_unref(f->backends);
		free(f);
		metric_inc(session_env(s)->metrics, err == -EADDRNOTAVAIL ? METRIC_limited_ports : METRIC_limited_sockets);
		explain_no_socket(s, err);
		return err;
	}
	session_set_state(s, f);
	return 0;
}

static void forward_close(struct session *s)
{
	struct forwarding *f = session_state(s);

	if (f->open)
		upstream_close(session_env(s)->upstream, &f->socket);
	backends_unref(f->backends);
	free(f);
}

/* ---- records ---- */

/* Its backend is down, or it has lost its socket on the way to another one. True: the record may go there. */
static bool move(struct forwarding *f)
{
	const struct forward *settings = settings_of(f->session);
	struct env *env = session_env(f->session);
	struct backends *b = settings->backends;
	bool trial = false;
	int other, err;

	/* after a reload these are not the same any more; without a socket the one that it should have had will do */
	if (b == f->backends && f->open)
		other = backends_other(b, f->index, env->now);
	else
		other = (int)backends_choose(b, env->now, &trial);
	if (other < 0)
		return false;
	if (f->open)
		upstream_close(env->upstream, &f->socket);
	err = take_backend(f, settings, (unsigned)other);
	if (err < 0) {
		explain_no_socket(f->session, err);
		return false;
	}
	metric_inc(env->metrics, METRIC_backend_moved);
	return trial || backends_may_send(b, f->index, env->now);
}

static bool ready(struct forwarding *f)
{
	bool trial = f->trial;

	f->trial = false;
	if (f->open && (trial || backends_may_send(f->backends, f->index, session_env(f->session)->now)))
		return true;
	return (!f->open || settings_of(f->session)->move) && move(f);
}

static bool needs_head(const struct forwarding *f)
{
	return f->proxy == FORWARD_PROXY_EVERY || (f->proxy == FORWARD_PROXY_FIRST && !f->introduced);
}

static void forward_record(struct session *s, const uint8_t *data, size_t len)
{
	struct forwarding *f = session_state(s);
	struct env *env = session_env(s);
	uint8_t bare[PROXY2_MAX];
	const uint8_t *head = f->head;
	size_t head_len = 0;

	if (!ready(f)) {
		metric_inc(env->metrics, METRIC_backend_down);
		return;
	}
	if (needs_head(f)) {
		head_len = f->head_len;
		/* never without: the backend would take what a client says for the header */
		if (head_len == 0) {
			head_len = make_bare_head(s, bare);
			head = bare;
		}
	}
	f->introduced = true;
	upstream_send(env->upstream, &f->socket, head, head_len, data, len);
	backends_sent(f->backends, f->index, env->now);
}

const struct handler handler_forward = {
	.name = "forward",
	.help = "hand every record to a backend, and its answers back",
	.open = forward_open,
	.record = forward_record,
	.close = forward_close,
};
