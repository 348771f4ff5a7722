/* SPDX-License-Identifier: BSD-2-Clause */
#include "upstream_socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "udp_names.h"
#include "unix_name.h"

/* ---- what errors mean ---- */

const char *upstream_advice(int err)
{
	switch (err) {
	case -EDQUOT:
		return "--forward-sockets are all taken: raise it, and the limit of open files";
	case -EMFILE:
	case -ENFILE:
		return "too many open files: raise LimitNOFILE or \"ulimit -n\", and the sysctl fs.file-max";
	case -EADDRNOTAVAIL:
		return "no local port is left: give --forward-source more addresses, widen the range "
		       "net.ipv4.ip_local_port_range, or use unix sockets";
	case -ENXIO:
		return "the addresses of --forward-source are not this machine's any more: correct it, or give it them back";
	default:
		return "the system is short of memory: give it more, or lower --max-sessions";
	}
}

bool upstream_refusal(int err)
{
	switch (err) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOTCONN:
	case EDESTADDRREQ:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENOENT:
		return true;
	default:
		return false;
	}
}

/* ---- addresses ---- */

static socklen_t to_sockaddr(const struct backend_addr *a, struct sockaddr_storage *ss)
{
	if (a->addr.family)
		return addr_to_sockaddr(&a->addr, ss);
	return unix_name_to_sockaddr(a->path, (struct sockaddr_un *)ss);
}

int upstream_connect(struct upstream_socket *s)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(s->to, &ss);

	s->connected = connect(s->fd, (struct sockaddr *)&ss, len) == 0;
	return s->connected ? 0 : errno;
}

/* ---- making ---- */

static int bind_to(int fd, const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);

	if (bind(fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	switch (errno) {
	case EADDRINUSE:
		return -EADDRNOTAVAIL;
	case EADDRNOTAVAIL:
	case ENODEV:
		return -ENXIO;
	default:
		return -errno;
	}
}

/* The next one where one has no port left. */
static int bind_source(const struct upstream_socket *s, const struct sources *from, unsigned *turn)
{
	int err = 0;

	for (unsigned i = 0; from && i < from->count; i++) {
		const struct addr *a = &from->addr[(*turn)++ % from->count];

		if (a->family != s->to->addr.family)
			continue;
		err = bind_to(s->fd, a);
		if (err == 0)
			return 0;
	}
	return err;
}

int upstream_try_source(const struct addr *a)
{
	int fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	err = bind_to(fd, a);
	close(fd);
	return err == -EADDRNOTAVAIL ? 0 : err; /* all ports are taken: that is no mistake */
}

/* The backend answers to an address: of a unix socket it is one that the kernel makes up (unix(7), autobind). */
static int make_socket(struct upstream_socket *s, const struct sources *from, unsigned *turn)
{
	const struct sockaddr_un any = { .sun_family = AF_UNIX };
	int family = upstream_is_unix(s) ? AF_UNIX : s->to->addr.family, yes = 1, segment;
	socklen_t len = sizeof(segment);

	s->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (upstream_is_unix(s))
		return bind(s->fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) == 0 ? 0 : -errno;
	(void)setsockopt(s->fd, IPPROTO_UDP, UDP_GRO, &yes, sizeof(yes));
	s->gso = getsockopt(s->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, &len) == 0;
	return bind_source(s, from, turn);
}

/* The system may give us the very port of a backend of this machine that is away: then it could not come back. */
static bool talks_to_itself(const struct upstream_socket *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr own;

	return s->connected && !upstream_is_unix(s) && getsockname(s->fd, (struct sockaddr *)&ss, &len) == 0 &&
	       addr_from_sockaddr(&own, (struct sockaddr *)&ss, len) == 0 && addr_equal(&own, &s->to->addr);
}

/* 0, or -errno; *refusal: the error number of a backend that is not there, else 0. */
static int make_connected(struct upstream_socket *s, const struct sources *from, unsigned *turn, int *refusal)
{
	int err = make_socket(s, from, turn);

	if (err < 0)
		return err;
	*refusal = upstream_connect(s);
	return *refusal == EAGAIN && !upstream_is_unix(s) ? -EADDRNOTAVAIL : 0; /* all local ports are taken */
}

int upstream_make(struct upstream_socket *s, const struct sources *from, unsigned *turn, int *refusal)
{
	int err = make_connected(s, from, turn, refusal), first = s->fd;

	if (err == 0 && talks_to_itself(s)) {
		err = make_connected(s, from, turn, refusal); /* the first one keeps the port until this one has another */
		close(first);
	}
	return err;
}
