/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * faults: an allocator that fails when told to. It replaces malloc and its kin for the whole program, the
 * libraries too, and mmap for dtlsd's own objects (linked with --wrap=mmap).
 *
 * Never failed are the allocations of GMP, which ends the process when it gets none, and of libtasn1, which
 * does not look whether it got any: nobody can catch that.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* From now on the allocation number first (1: the next) and those after it fail, count in all. first 0: none. */
void faults_plan(uint64_t first, uint64_t count);
/* The failing is over, if it has begun. */
void faults_relent(void);
/* Only between these two, which nest, are allocations numbered and failed. */
void faults_arm(void);
void faults_disarm(void);
/* Suspends what is armed and tells how deep it was, for faults_resume. */
unsigned faults_suspend(void);
void faults_resume(unsigned depth);

uint64_t faults_seen(void); /* allocations numbered since faults_plan */
uint64_t faults_hit(void);  /* of these, failed */
void faults_tell(int fd);   /* writes who asked for the first that failed, "# " before each caller */

/* Blocks that are allocated: asked for by the program itself (not under a sanitizer: strdup), and by libraries. */
struct faults_live {
	int64_t own, foreign;
};
struct faults_live faults_live(void);

/* Is the address in the program itself? */
bool faults_own(const void *address);

#endif
