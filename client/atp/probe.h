/* SPDX-License-Identifier: MIT */
/*
 * probe.h - ATP idle probes (docs/protocol.md, 6): a pure state machine.
 * `now` and what is named _us are a monotonic clock's microseconds.
 */
#ifndef APPTUNNEL_PROBE_H
#define APPTUNNEL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct probe {
	uint64_t idle_us, interval_us;
	uint32_t count;
	uint64_t last_in;	/* last inbound byte */
	uint64_t next;		/* when the next step is due while probing */
	uint32_t sent;		/* probes of this round; 0: not probing */
	bool urgent;		/* network changed: do not wait for idle_us */
};

enum probe_action { PROBE_NOTHING, PROBE_SEND, PROBE_DEAD };

/* probe_init() - a connection is up; AtpProbeIdleSec, AtpProbeIntervalSec, AtpProbeCount */
void probe_init(struct probe *p, uint32_t idle_s, uint32_t interval_s,
		uint32_t count, uint64_t now);
/* probe_tune() - other values from here on; what was sent and heard counts on */
void probe_tune(struct probe *p, uint32_t idle_s, uint32_t interval_s, uint32_t count);
void probe_inbound(struct probe *p, uint64_t now);	/* any byte came in */
void probe_network_changed(struct probe *p, uint64_t now); /* probe at once, 1 s interval */
/*
 * probe_step() - judge, after input has been drained
 * @wants_to_send: outbound traffic waits or is unacknowledged; judged before
 *	the mux is asked for output, so that a lone datagram counts too
 * Once a round has begun it goes on until an inbound byte or PROBE_DEAD.
 */
enum probe_action probe_step(struct probe *p, bool wants_to_send, uint64_t now);
/* probe_deadline() - when probe_step() can next act, UINT64_MAX: not by itself */
uint64_t probe_deadline(const struct probe *p, bool wants_to_send);

#endif
