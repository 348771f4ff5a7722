/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A classic BPF program that the kernel runs for every datagram of the group and that answers with the index of a
 * socket, in the order of binding. Offset 0 is the payload, SKF_NET_OFF the IP header. A load beyond the end ends
 * the program with 0, and what it returns is always below 2 * workers, so whatever comes has a valid place.
 *
 * The hash is keyed: who could compute it would choose the worker that has to bear an attack alone. It is not
 * SipHash, for which the program would be too long to run for every datagram; who finds out by timing which of
 * his addresses share a worker gains little.
 */
#include "steer.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "wire.h"

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

#define PROGRAM_MOST 64

/*
 * Some 1300 hellos, half a second of handshakes on one processor. Who waits for longer has sent his hello again, and a
 * longer queue would only make everybody wait in it.
 */
#define HELLO_BUFFER (512 * 1024)

#define NET(offset) ((uint32_t)(SKF_NET_OFF + (offset)))

enum { LANE, HASH }; /* words of the program's memory */

struct program {
	unsigned length;
	struct sock_filter code[PROGRAM_MOST];
	uint32_t key[3];
};

static void put_jump(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	assert(p->length < PROGRAM_MOST);
	p->code[p->length++] = (struct sock_filter){ code, yes, no, k };
}

static void put(struct program *p, uint16_t code, uint32_t k)
{
	put_jump(p, code, k, 0, 0);
}

/* The lane's first index: 0, or workers for a hello. */
static void put_lane(struct program *p, unsigned workers)
{
	const uint8_t message = DTLS_RECORD_HEADER;

	put(p, BPF_LD | BPF_W | BPF_LEN, 0);
	put_jump(p, BPF_JMP | BPF_JGT | BPF_K, message, 0, 8); /* the message's type is there */
	put(p, BPF_LD | BPF_B | BPF_ABS, 0);
	put_jump(p, BPF_JMP | BPF_JEQ | BPF_K, DTLS_HANDSHAKE, 0, 6);
	put(p, BPF_LD | BPF_H | BPF_ABS, 3); /* epoch */
	put_jump(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4);
	put(p, BPF_LD | BPF_B | BPF_ABS, message);
	put_jump(p, BPF_JMP | BPF_JEQ | BPF_K, DTLS_CLIENT_HELLO, 0, 2);
	put(p, BPF_LD | BPF_IMM, workers);
	put(p, BPF_JMP | BPF_JA, 1);
	put(p, BPF_LD | BPF_IMM, 0);
	put(p, BPF_ST, LANE);
}

/* HASH * key + A becomes HASH. */
static void put_add(struct program *p)
{
	put(p, BPF_MISC | BPF_TAX, 0);
	put(p, BPF_LD | BPF_MEM, HASH);
	put(p, BPF_ALU | BPF_MUL | BPF_K, p->key[0]);
	put(p, BPF_ALU | BPF_ADD | BPF_X, 0);
	put(p, BPF_ST, HASH);
}

static void put_peer_ipv4(struct program *p)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, NET(12));
	put(p, BPF_ST, HASH);
	put(p, BPF_LDX | BPF_B | BPF_MSH, NET(0)); /* the header's length, options included */
	put(p, BPF_LD | BPF_H | BPF_IND, NET(0));  /* source port */
	put_add(p);
}

static void put_peer_ipv6(struct program *p)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, NET(8));
	put(p, BPF_ST, HASH);
	for (int at = 12; at < 24; at += 4) {
		put(p, BPF_LD | BPF_W | BPF_ABS, NET(at));
		put_add(p);
	}
	put(p, BPF_LD | BPF_B | BPF_ABS, NET(6)); /* next header: behind extensions the port is not looked for */
	put_jump(p, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 2);
	put(p, BPF_LD | BPF_H | BPF_ABS, NET(40));
	put(p, BPF_JMP | BPF_JA, 1);
	put(p, BPF_LD | BPF_IMM, 0);
	put_add(p);
}

/* A ^= A >> shift */
static void put_fold(struct program *p, uint32_t shift)
{
	put(p, BPF_MISC | BPF_TAX, 0);
	put(p, BPF_ALU | BPF_RSH | BPF_K, shift);
	put(p, BPF_ALU | BPF_XOR | BPF_X, 0);
}

static void put_index(struct program *p, unsigned workers)
{
	put(p, BPF_LD | BPF_MEM, HASH);
	put(p, BPF_ALU | BPF_XOR | BPF_K, p->key[1]);
	put_fold(p, 16);
	put(p, BPF_ALU | BPF_MUL | BPF_K, p->key[2]);
	put_fold(p, 15);
	put(p, BPF_ALU | BPF_MOD | BPF_K, workers);
	put(p, BPF_LDX | BPF_MEM, LANE);
	put(p, BPF_ALU | BPF_ADD | BPF_X, 0);
	put(p, BPF_RET | BPF_A, 0);
}

int steer_attach(struct udp_socket *group, unsigned workers)
{
	struct program p = { .length = 0 };
	struct sock_fprog f;

	assert(workers > 0);
	if (getrandom(p.key, sizeof(p.key), 0) != sizeof(p.key))
		return -errno;
	p.key[0] |= 1; /* multiplication by an odd number loses nothing */
	p.key[2] |= 1;
	put_lane(&p, workers);
	if (group->bound.family == AF_INET)
		put_peer_ipv4(&p);
	else
		put_peer_ipv6(&p);
	put_index(&p, workers);
	memset(&f, 0, sizeof(f)); /* the padding goes to the kernel too */
	f.len = (unsigned short)p.length;
	f.filter = p.code;
	if (setsockopt(group->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &f, sizeof(f)) != 0)
		return -errno;
	for (unsigned i = workers; i < 2 * workers; i++) {
		group[i].hellos = true;
		(void)setsockopt(group[i].fd, SOL_SOCKET, SO_RCVBUF, &(int){ HELLO_BUFFER }, sizeof(int));
	}
	return 0;
}
