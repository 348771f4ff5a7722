/* SPDX-License-Identifier: BSD-2-Clause */
#include "upstream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp_names.h"

#define READY_A_TURN 64  /* sockets, of which one batch each is taken */
#define RX_BATCH 16
#define RX_BUFFER_SIZE (64 * 1024)
#define RX_BUFFER_STRIDE (RX_BUFFER_SIZE + 21 * 64) /* not all in the same set of the processor's caches */

#define TX_ENTRIES 512
#define TX_ARENA (512 * 1024)
#define TX_HELD (TX_ENTRIES / 2) /* of them, and half of the arena, may be of blocked sockets, which share them */
#define TX_BYTES 65507   /* and their bytes */

struct entry {
	struct upstream_socket *from;
	uint32_t offset, len; /* in the arena */
};

union segment_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

struct upstream {
	struct upstream_limit *limit;
	struct metrics *metrics;
	int epoll;
	unsigned open;
	unsigned turn; /* of the sources */
	/* the way in */
	struct epoll_event ready[READY_A_TURN]; /* data.ptr NULL: closed meanwhile */
	int ready_count;
	struct upstream_socket *reading; /* NULL: closed meanwhile */
	uint8_t *memory;
	struct mmsghdr in[RX_BATCH];
	struct iovec in_iov[RX_BATCH];
	union segment_control in_control[RX_BATCH];
	/* the way out */
	unsigned blocked; /* sockets */
	unsigned count;
	uint32_t used;
	struct entry queue[TX_ENTRIES];
	struct mmsghdr out[UDP_SEGMENTS_MAX];
	struct iovec out_iov[UDP_SEGMENTS_MAX];
	uint8_t arena[TX_ARENA];
};

/* ---- opening ---- */

static int join(struct upstream *u, struct upstream_socket *s, const struct sources *from)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };
	int refusal = 0, err = upstream_make(s, from, &u->turn, &refusal);

	if (err < 0)
		return err;
	if (epoll_ctl(u->epoll, EPOLL_CTL_ADD, s->fd, &e) < 0)
		return -errno;
	if (refusal)
		s->owner->refused(s, refusal);
	return 0;
}

/* What is watched of it always. */
static uint32_t events_of(const struct upstream_socket *s)
{
	return s->deaf ? 0 : EPOLLIN;
}

/* One socket more, within the limit. */
static bool take_place(struct upstream *u)
{
	u->open++;
	return atomic_fetch_add(&u->limit->open, 1) < atomic_load(&u->limit->most);
}

int upstream_open(struct upstream *u, struct upstream_socket *s, const struct backend_addr *to,
		  const struct sources *from, const struct upstream_owner *owner)
{
	int err = -EDQUOT;

	*s = (struct upstream_socket){ .owner = owner, .to = to, .fd = -1 };
	if (take_place(u))
		err = join(u, s, from);
	if (err < 0)
		upstream_close(u, s);
	return err;
}

int upstream_adopt(struct upstream *u, struct upstream_socket *s, int fd, bool deaf,
		   const struct upstream_owner *owner)
{
	struct epoll_event e = { .data.ptr = s };
	int err = 0;

	*s = (struct upstream_socket){ .owner = owner, .fd = fd, .connected = true, .deaf = deaf };
	e.events = events_of(s);
	if (!take_place(u))
		err = -EDQUOT;
	else if (epoll_ctl(u->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		err = -errno;
	if (err < 0)
		upstream_close(u, s);
	return err;
}

/* An entry stays: it goes to the end of those that do. What was before it is gone or has moved up already. */
static void keep(struct upstream *u, unsigned *kept, uint32_t *used, const struct entry *e)
{
	struct entry moved = { e->from, *used, e->len };

	if (e->offset != *used)
		memmove(u->arena + *used, u->arena + e->offset, e->len);
	*used += e->len;
	u->queue[(*kept)++] = moved;
}

/* What waits for a socket that goes is lost. */
static void forget(struct upstream *u, const struct upstream_socket *s)
{
	unsigned kept = 0;
	uint32_t used = 0;

	for (unsigned i = 0; i < u->count; i++)
		if (u->queue[i].from != s)
			keep(u, &kept, &used, &u->queue[i]);
	metric_add(u->metrics, METRIC_backend_lost, u->count - kept);
	u->count = kept;
	u->used = used;
}

void upstream_close(struct upstream *u, struct upstream_socket *s)
{
	if (s->queued > 0)
		upstream_flush(u);
	if (s->queued > 0)
		forget(u, s);
	u->blocked -= s->blocked;
	if (u->reading == s)
		u->reading = NULL;
	for (int i = 0; i < u->ready_count; i++)
		if (u->ready[i].data.ptr == s)
			u->ready[i].data.ptr = NULL;
	if (s->fd >= 0 && !s->to)
		(void)epoll_ctl(u->epoll, EPOLL_CTL_DEL, s->fd, NULL); /* others may have it open, too */
	if (s->fd >= 0)
		close(s->fd); /* and with that it leaves epoll */
	s->fd = -1;
	atomic_fetch_sub(&u->limit->open, 1);
	u->open--;
}

/* From now on what is for it waits, or does not; when it may go on, upstream_run hears of it. */
static void set_blocked(struct upstream *u, struct upstream_socket *s, bool blocked)
{
	struct epoll_event e = { .events = events_of(s) | (blocked ? EPOLLOUT : 0), .data.ptr = s };

	u->blocked -= s->blocked;
	s->blocked = epoll_ctl(u->epoll, EPOLL_CTL_MOD, s->fd, &e) == 0 && blocked;
	u->blocked += s->blocked;
}

/* ---- in ---- */

void upstream_listen(struct upstream *u, struct upstream_socket *s)
{
	s->deaf = false;
	set_blocked(u, s, s->blocked);
}

static size_t segment_of(struct msghdr *h)
{
	int size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return size > 0 ? (size_t)size : 0;
	}
	return 0;
}

/*
 * The first of n messages of an adopted socket is empty: a datagram, or its end, where each message is empty that is read.
 * Datagrams may still follow what was read; once the other end is closed no more come.
 */
static bool has_ended(const struct upstream_socket *s, const struct mmsghdr *m, unsigned n)
{
	struct pollfd p = { .fd = s->fd, .events = POLLRDHUP };
	int bytes;

	for (unsigned i = 0; i < n; i++)
		if (m[i].msg_len > 0)
			return false;
	return poll(&p, 1, 0) > 0 && ioctl(s->fd, FIONREAD, &bytes) == 0 && bytes == 0;
}

/* Of one message. Larger than the buffer is larger than any record: the owner refuses what is here of it. */
static void deliver(struct upstream *u, struct mmsghdr *m)
{
	size_t segment = segment_of(&m->msg_hdr), left = m->msg_len, len;
	uint8_t *data = m->msg_hdr.msg_iov->iov_base;

	if (segment == 0 || segment > left)
		segment = left;
	do {
		len = left < segment ? left : segment;
		metric_inc(u->metrics, METRIC_backend_in);
		u->reading->owner->reply(u->reading, data, len);
		data += len;
		left -= len;
	} while (left > 0 && u->reading);
}

static void read_socket(struct upstream *u, struct upstream_socket *s)
{
	/* over a unix socket there could be descriptors, which would be open here */
	size_t control = upstream_is_unix(s) ? 0 : sizeof(u->in_control[0]);
	int n;

	for (unsigned i = 0; i < RX_BATCH; i++)
		u->in[i].msg_hdr.msg_controllen = control;
	n = recvmmsg(s->fd, u->in, RX_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0) {
		if (s->to && upstream_refusal(errno))
			s->owner->refused(s, errno);
		return;
	}
	u->reading = s;
	for (int i = 0; i < n && u->reading; i++) {
		if (!s->to && u->in[i].msg_len == 0 && has_ended(s, &u->in[i], (unsigned)(n - i))) {
			s->owner->ended(s);
			break;
		}
		deliver(u, &u->in[i]);
	}
	u->reading = NULL;
}

void upstream_run(struct upstream *u)
{
	u->ready_count = epoll_wait(u->epoll, u->ready, READY_A_TURN, 0);
	for (int i = 0; i < u->ready_count; i++) {
		struct upstream_socket *s = u->ready[i].data.ptr;

		if (s && (u->ready[i].events & EPOLLOUT))
			set_blocked(u, s, false);
		if (s && s->deaf && (u->ready[i].events & EPOLLHUP))
			s->owner->ended(s);
		else if (s && !s->deaf && (u->ready[i].events & ~(uint32_t)EPOLLOUT))
			read_socket(u, s);
	}
	u->ready_count = 0;
}

/* ---- out ---- */

/* How many from e on, of at most most, are of one socket. */
static unsigned run_of(const struct entry *e, unsigned most)
{
	unsigned n = 1;

	while (n < most && n < UDP_SEGMENTS_MAX && e[n].from == e->from)
		n++;
	return n;
}

/* How many of these the kernel could cut out of one message: of one length, only the last may be shorter. */
static unsigned segments_of(const struct entry *e, unsigned most)
{
	uint32_t bytes = e->len;
	unsigned n = 1;

	if (e->len == 0)
		return 1;
	for (; n < most && e[n].len > 0 && e[n].len <= e->len && bytes + e[n].len <= TX_BYTES; n++) {
		bytes += e[n].len;
		if (e[n].len < e->len)
			return n + 1;
	}
	return n;
}

/* A datagram met an error for the first time. True: it is worth a second try. */
static bool try_again(struct upstream_socket *s, int err)
{
	if (err == EINTR)
		return true;
	if (!upstream_refusal(err) || !s->to)
		return false; /* that an adopted socket is over is heard of where it is read */
	if (upstream_is_unix(s))
		err = upstream_connect(s); /* a new one may have taken its place, which no connected socket notices */
	if (err)
		s->owner->refused(s, err);
	return s->connected;
}

/* The first n as one message. True: they have left. */
static bool send_segments(struct upstream *u, const struct entry *e, unsigned n)
{
	struct iovec iov = { u->arena + e->offset, e[n - 1].offset + e[n - 1].len - e->offset };
	union segment_control control;
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	uint16_t segment = (uint16_t)e->len;
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	h.msg_controllen = CMSG_SPACE(sizeof(segment));
	c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	if (sendmsg(e->from->fd, &h, MSG_DONTWAIT) >= 0)
		return true;
	if (!try_again(e->from, errno) && errno != EAGAIN)
		e->from->gso = false; /* they do not fit the path, or the device cannot */
	return false;
}

/* One by one. How many of them are done with: they have left or are lost; the others wait. */
static unsigned send_each(struct upstream *u, const struct entry *e, unsigned n, unsigned *left)
{
	struct upstream_socket *s = e->from;
	bool again = false;
	unsigned at = 0;

	for (unsigned i = 0; i < n; i++) {
		u->out_iov[i] = (struct iovec){ u->arena + e[i].offset, e[i].len };
		u->out[i].msg_hdr = (struct msghdr){ .msg_iov = &u->out_iov[i], .msg_iovlen = 1 };
	}
	while (at < n) {
		int sent = sendmmsg(s->fd, u->out + at, n - at, MSG_DONTWAIT);

		if (sent > 0) {
			at += (unsigned)sent;
			*left += (unsigned)sent;
			again = false;
		} else if (errno == EAGAIN && upstream_is_unix(s)) {
			set_blocked(u, s, true);
			if (s->blocked)
				break;
			at++;
		} else if (!again && try_again(s, errno)) {
			again = true;
		} else {
			at++; /* this one is lost */
			again = false;
		}
	}
	return at;
}

/* As send_each. */
static unsigned send_run(struct upstream *u, const struct entry *e, unsigned n, unsigned *left)
{
	struct upstream_socket *s = e->from;
	unsigned at = 0, k;
	int err;

	if (!s->connected && (err = upstream_connect(s)) != 0) {
		s->owner->refused(s, err);
		return n;
	}
	while (at < n && !s->blocked) {
		k = s->gso ? segments_of(e + at, n - at) : n - at;
		if (k > 1 && s->gso && send_segments(u, e + at, k)) {
			*left += k;
			at += k;
		} else {
			at += send_each(u, e + at, k, left);
		}
	}
	return at;
}

/* May one more of s wait, beside those that do? All that are blocked have the same share, and one is left for the next. */
static bool has_room(const struct upstream *u, const struct upstream_socket *s, unsigned kept, uint32_t used, uint32_t len)
{
	unsigned shares = u->blocked + 1;

	if (kept == TX_HELD || used + len > TX_ARENA / 2)
		return false;
	return s->held == 0 || (s->held < TX_HELD / shares && s->held_bytes + len <= TX_ARENA / 2 / shares);
}

/* Those that wait for a blocked socket. How many stay. */
static unsigned keep_some(struct upstream *u, unsigned *kept, uint32_t *used, const struct entry *e, unsigned n)
{
	struct upstream_socket *s = e->from;
	unsigned i = 0;

	for (; i < n && has_room(u, s, *kept, *used, e[i].len); i++) {
		s->held++;
		s->held_bytes += e[i].len;
		keep(u, kept, used, &e[i]);
	}
	return i;
}

void upstream_flush(struct upstream *u)
{
	unsigned n, done, left, stay, kept = 0;
	uint32_t used = 0;

	for (unsigned i = 0; i < u->count; i += n) {
		struct upstream_socket *s = u->queue[i].from;

		n = run_of(&u->queue[i], u->count - i);
		left = 0;
		done = s->blocked ? 0 : send_run(u, &u->queue[i], n, &left);
		stay = keep_some(u, &kept, &used, &u->queue[i + done], n - done);
		s->queued -= (uint16_t)(n - stay);
		metric_add(u->metrics, METRIC_backend_out, left);
		metric_add(u->metrics, METRIC_backend_lost, n - stay - left);
	}
	for (unsigned i = 0; i < kept; i++) { /* to be counted anew the next time */
		u->queue[i].from->held = 0;
		u->queue[i].from->held_bytes = 0;
	}
	u->count = kept;
	u->used = used;
}

void upstream_send(struct upstream *u, struct upstream_socket *s, const void *head, size_t head_len, const void *data,
		   size_t len)
{
	struct entry *e;

	assert(head_len + len <= TX_BYTES);
	if (u->count == TX_ENTRIES || u->used + head_len + len > TX_ARENA)
		upstream_flush(u);
	e = &u->queue[u->count++];
	*e = (struct entry){ s, u->used, (uint32_t)(head_len + len) };
	if (head_len > 0)
		memcpy(u->arena + u->used, head, head_len);
	if (len > 0)
		memcpy(u->arena + u->used + head_len, data, len);
	u->used += e->len;
	s->queued++;
}

/* ---- life ---- */

static bool make_buffers(struct upstream *u)
{
	size_t size = (size_t)RX_BATCH * RX_BUFFER_STRIDE;

	u->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (u->memory == MAP_FAILED) {
		u->memory = NULL;
		return false;
	}
	(void)madvise(u->memory, size, MADV_NOHUGEPAGE); /* which would fill all buffers at the first touch */
	for (unsigned i = 0; i < RX_BATCH; i++) {
		struct msghdr *h = &u->in[i].msg_hdr;

		u->in_iov[i] = (struct iovec){ u->memory + (size_t)i * RX_BUFFER_STRIDE, RX_BUFFER_SIZE };
		h->msg_iov = &u->in_iov[i];
		h->msg_iovlen = 1;
		h->msg_control = &u->in_control[i];
	}
	return true;
}

struct upstream *upstream_new(struct upstream_limit *limit)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->limit = limit;
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (u->epoll < 0 || !make_buffers(u)) {
		upstream_free(u);
		return NULL;
	}
	return u;
}

void upstream_free(struct upstream *u)
{
	if (!u)
		return;
	assert(u->open == 0);
	if (u->epoll >= 0)
		close(u->epoll);
	if (u->memory)
		munmap(u->memory, (size_t)RX_BATCH * RX_BUFFER_STRIDE);
	free(u);
}

void upstream_count(struct upstream *u, struct metrics *m)
{
	u->metrics = m;
}

int upstream_fd(const struct upstream *u)
{
	return u->epoll;
}
