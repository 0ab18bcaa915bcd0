/* SPDX-License-Identifier: MIT */
/*
 * tcp_lwip.c - one flow's lwIP pcb.
 *
 * lwIP's lists of connections are empty at rest.  Around each call they are
 * pointed at the one pcb that the call is about, so that no packet and no
 * timer walks over other flows; only the slow timer gets a chain, of those
 * flows that have something to time.  Callbacks of lwIP set flags, and what
 * follows from them is done after lwIP has returned.
 */
#include "netstack/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"

#include "lwip_hooks.h"

_Static_assert(LWIP_VERSION_MAJOR == 2 && LWIP_VERSION_MINOR == 2 &&
	       LWIP_VERSION_REVISION == 1, "the calls here rely on lwIP 2.2.1's insides");
_Static_assert(TCP_WND >= WINDOW_FULL, "windows fit");
_Static_assert((WINDOW_FULL >> TCP_RCV_SCALE) <= 0xffff, "the scaled window fits");
_Static_assert(GSO_PAYLOAD_MAX <= TCP_MSS, "a super-segment is lwIP's segment");

/* Lives in front of each packet in its read buffer. */
struct rx_meta {
	struct pbuf_custom pc;
	struct buf *b;
};

_Static_assert(sizeof(struct rx_meta) <= RX_META_SIZE, "room in front of the packet");

static struct netstack *stack;			/* lwIP is global */

void ns_lwip_panic(const char *what, const char *file, int line)
{
	fprintf(stderr, "lwIP: %s (%s:%d)\n", what, file, line);
	abort();
}

u32_t ns_tcp_isn(const ip_addr_t *local, u16_t local_port,
		 const ip_addr_t *remote, u16_t remote_port)
{
	uint64_t words[5] = { 0 };

	memcpy(words, ip_2_ip6(local)->addr, IP_IS_V6(local) ? 16 : 4);
	memcpy(words + 2, ip_2_ip6(remote)->addr, IP_IS_V6(remote) ? 16 : 4);
	words[4] = (uint64_t)local_port << 16 | remote_port | 1ull << 63;
	/* RFC 6528: a clock of 4 us and a secret of the connection */
	return (u32_t)(stack->now / 4 + siphash24(stack->hash_key, words, 40));
}

static void addr_to_lwip(ip_addr_t *to, const struct ipaddr *from)
{
	uint32_t words[4] = { 0 };

	memcpy(words, from->bytes, addr_len(from->family));
	memset(to, 0, sizeof(*to));
	if (from->family == 4) {
		ip_addr_set_ip4_u32_val(*to, words[0]);
	} else {
		memcpy(ip_2_ip6(to)->addr, words, 16);
		IP_SET_TYPE_VAL(*to, IPADDR_TYPE_V6);
	}
}

/* ---- what lwIP calls ------------------------------------------------------ */

static void rx_free(struct pbuf *p)
{
	buf_unref(container_of(p, struct rx_meta, pc.pbuf)->b);
}

/* May a payload of @len stay in its read buffer, or is it to be copied? */
static bool rx_keep(const struct netstack *ns, uint32_t len)
{
	uint32_t used = bufpool_in_use(ns->rx_pool);

	if (used < RX_BUFS_MAX / 2)
		return len >= RX_KEEP_MIN;
	return used < RX_BUFS_MAX / 4 * 3 && len >= RX_KEEP_MIN_BUSY;
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct netstack *ns = stack;
	struct ns_tcp *t = arg;
	struct pbuf *q;

	(void)pcb;
	(void)err;
	if (!p) {
		t->eof = true;
		t->events |= EV_EOF;
		return ERR_OK;
	}
	for (q = p; q; q = q->next) {
		bool in_place = q->flags & PBUF_FLAG_IS_CUSTOM && rx_keep(ns, q->len);
		struct buf *b = in_place ? container_of(q, struct rx_meta, pc.pbuf)->b : NULL;

		if (queue_append(ns->chunk_pool, &t->rx, b, q->payload, q->len,
				 !in_place) < 0) {
			t->events |= EV_NOMEM;
			break;
		}
		ns->rx_queued += q->len;
		t->batch += q->len;
	}
	pbuf_free(p);
	t->events |= EV_READABLE;
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t n)
{
	struct ns_tcp *t = arg;

	(void)pcb;
	/* whole segments only: lwIP holds no reference to these bytes any more */
	queue_read(&t->u.out.tx, NULL, n);
	t->u.out.acked += n;
	return ERR_OK;
}

/* the pcb is freed when this is called */
static void on_err(void *arg, err_t err)
{
	struct ns_tcp *t = arg;

	t->pcb = NULL;
	t->events |= err == ERR_CLSD ? EV_DONE : EV_RESET;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct ns_tcp *t = arg;

	(void)pcb;
	if (err == ERR_OK)
		t->established = true;
	return err;
}

static err_t out_ip(struct netif *netif, struct pbuf *p, uint8_t family)
{
	struct netstack *ns = netif->state;
	const struct tcp_pcb *pcb = NULL;
	const struct ns_tcp *t = NULL;
	struct iovec data[SEGMENT_PIECES_MAX + 2];
	struct out o = { .ip = p->payload, .proto = PROTO_TCP, .data = data };
	struct pbuf *q;
	uint8_t *tcp;
	uint32_t hlen;

	if (netif->hints)
		pcb = container_of(netif->hints, struct tcp_pcb, netif_hints);
	if (pcb)
		t = pcb->callback_arg;
	o.ip_hlen = family == 4 ? IPV4_HLEN : IPV6_HLEN;
	tcp = o.ip + o.ip_hlen;
	o.l4_hlen = (uint16_t)((tcp[12] >> 4) * 4);
	hlen = o.ip_hlen + o.l4_hlen;
	if (p->len < hlen)
		return ERR_BUF;
	if (family == 4)
		put_be16(o.ip + 6, 0x4000);
	if (tcp[13] & TH_SYN && o.l4_hlen >= TCP_HLEN_MIN + 4) {
		/* lwIP puts the MSS option first; it does not know our MTU */
		put_be16(tcp + TCP_HLEN_MIN + 2,
			 (uint16_t)(ns->config.mtu - o.ip_hlen - TCP_HLEN_MIN));
	}
	o.len = p->tot_len - hlen;
	if (p->len > hlen)
		data[o.pieces++] = (struct iovec){ o.ip + hlen, p->len - hlen };
	for (q = p->next; q; q = q->next) {
		if (o.pieces == SEGMENT_PIECES_MAX + 2)
			return ERR_BUF;
		data[o.pieces++] = (struct iovec){ q->payload, q->len };
	}
	if (t && t->established)
		o.segment = t->peer_mss;
	/* A packet that cannot be written is lost, and TCP knows how to go on. */
	gso_send(ns, &o);
	return ERR_OK;
}

static err_t out_ip4(struct netif *netif, struct pbuf *p, const ip4_addr_t *dst)
{
	(void)dst;
	return out_ip(netif, p, 4);
}

static err_t out_ip6(struct netif *netif, struct pbuf *p, const ip6_addr_t *dst)
{
	(void)dst;
	return out_ip(netif, p, 6);
}

static err_t netif_start(struct netif *netif)
{
	netif->output = out_ip4;
	netif->output_ip6 = out_ip6;
	netif->mtu = 0;
	return ERR_OK;
}

static err_t netif_no_input(struct pbuf *p, struct netif *netif)
{
	(void)netif;
	pbuf_free(p);
	return ERR_OK;
}

/* ---- entering lwIP --------------------------------------------------------- */

void lwip_enter(struct ns_tcp *t)
{
	tcp_active_pcbs = t->pcb;
	tcp_tw_pcbs = NULL;
}

/* A fresh connection: from here on its segments are super-segments. */
static void flow_set_up(const struct netstack *ns, struct ns_tcp *t)
{
	struct tcp_pcb *pcb = t->pcb;
	uint32_t headers = (t->tuple.src.family == 4 ? IPV4_HLEN : IPV6_HLEN) + TCP_HLEN_MIN;
	uint32_t mss = pcb->mss;

	if (mss > ns->config.mtu - headers)
		mss = ns->config.mtu - headers;
	if (mss < MSS_MIN)
		mss = MSS_MIN;
	t->peer_mss = (uint16_t)mss;
	pcb->mss = (u16_t)(GSO_PAYLOAD_MAX / mss * mss);
	tcp_nagle_disable(pcb);
}

void lwip_leave(struct netstack *ns, struct ns_tcp *t)
{
	struct tcp_pcb *pcb = tcp_active_pcbs;

	if (tcp_tw_pcbs) {
		pcb = tcp_tw_pcbs;
		t->last_snd = pcb->snd_nxt;
		t->last_rcv = pcb->rcv_nxt;
		t->time_wait = true;
		t->events |= EV_DONE;
		tcp_abort(pcb);			/* in TIME_WAIT: frees, sends nothing */
		t->pcb = NULL;
	} else if (!pcb) {
		if (t->pcb)
			t->events |= EV_RESET;
		t->pcb = NULL;
	}
	tcp_active_pcbs = NULL;
	tcp_tw_pcbs = NULL;
	if (!t->pcb) {
		link_remove(&t->armed);
		return;
	}

	pcb = t->pcb;
	if (t->established && !t->peer_mss)
		flow_set_up(ns, t);
	/* Its window probing ends only when something is sent, which an ACK of
	 * all that waits prevents. */
	if (!pcb->unsent || pcb->unacked)
		pcb->persist_backoff = 0;
	if (!(pcb->flags & (TF_INFR | TF_RTO)))
		pcb->cwnd = pcb->ssthresh = CWND_OFF;
	t->last_snd = pcb->snd_nxt;
	t->last_rcv = pcb->rcv_nxt;
	lwip_arm(ns, t);
}

void lwip_arm(struct netstack *ns, struct ns_tcp *t)
{
	const struct tcp_pcb *pcb = t->pcb;
	bool want;

	want = pcb->unacked || pcb->unsent || pcb->ooseq || t->probe_wait ||
	       (t->fin_wanted && !t->fin_sent && !t->u.out.unsent) ||
	       (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT &&
		pcb->state != FIN_WAIT_2);
	if (!want) {
		link_remove(&t->armed);
		return;
	}
	if (link_listed(&t->armed))
		return;
	list_push(&ns->armed, &t->armed);
	if (ns->tick_due == NEVER)
		ns->tick_due = ns->now + TICK_US;
}

static void ip_data_set(struct netstack *ns, const struct ns_tuple *t, uint8_t *ip)
{
	ip_data.current_netif = &ns->netif;
	ip_data.current_input_netif = &ns->netif;
	ip_data.current_ip4_header = t->src.family == 4 ? (void *)ip : NULL;
	ip_data.current_ip6_header = t->src.family == 6 ? (void *)ip : NULL;
	ip_data.current_ip_header_tot_len = 0;
	addr_to_lwip(&ip_data.current_iphdr_src, &t->src);
	addr_to_lwip(&ip_data.current_iphdr_dest, &t->dst);
}

/*
 * The segment as lwIP wants it: in its read buffer.  A small one that lwIP will
 * keep, because it came early, in memory of its own size.
 */
static struct pbuf *segment_wrap(struct netstack *ns, const struct ns_tcp *t, struct buf *b,
				 const struct tcp_view *v)
{
	struct rx_meta *m = (struct rx_meta *)(void *)b->data;
	u16_t len = (u16_t)(v->hlen + v->len);
	struct pbuf *p;

	if (v->len && v->seq != t->pcb->rcv_nxt && !rx_keep(ns, v->len)) {
		p = pbuf_alloc(PBUF_RAW, len, PBUF_RAM);
		if (p)
			memcpy(p->payload, v->header, len);
		return p;
	}
	m->b = b;
	m->pc.custom_free_function = rx_free;
	p = pbuf_alloced_custom(PBUF_RAW, len, PBUF_REF, &m->pc, v->header, len);
	if (p)
		buf_ref(b);
	return p;
}

void lwip_input(struct netstack *ns, struct ns_tcp *t, struct buf *b, struct tcp_view *v)
{
	struct pbuf *p = segment_wrap(ns, t, b, v);

	if (!p)
		return;
	t->probes = 0;
	ip_data_set(ns, &t->tuple, v->header);
	lwip_enter(t);
	tcp_input(p, &ns->netif);
	lwip_leave(ns, t);
	if (t->events & EV_NOMEM && t->pcb)
		lwip_abort(ns, t);
}

int lwip_accept(struct netstack *ns, struct ns_tcp *t, const struct held *h)
{
	uint8_t ip[IPV6_HLEN] = { 0 };
	struct tcp_pcb *pcb;
	struct pbuf *p;

	p = pbuf_alloc(PBUF_RAW, h->hlen, PBUF_RAM);
	if (!p)
		return -ENOMEM;
	memcpy(p->payload, h->syn, h->hlen);
	((uint8_t *)p->payload)[13] &= TH_SYN;

	/* the wildcard listener takes the port that is asked for */
	ns->listener->local_port = t->tuple.dst_port;
	ns->listener->callback_arg = t;
	tcp_listen_pcbs.listen_pcbs = ns->listener;
	ip_data_set(ns, &t->tuple, ip);
	t->pcb = NULL;
	lwip_enter(t);
	tcp_input(p, &ns->netif);
	tcp_listen_pcbs.listen_pcbs = NULL;
	ns->listener->callback_arg = NULL;
	pcb = tcp_active_pcbs;
	tcp_active_pcbs = NULL;
	if (!pcb)
		return -ENOMEM;

	t->pcb = pcb;
	tcp_arg(pcb, t);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_err);
	/* lwIP announced no more than 64 KiB, whatever it thinks */
	t->window = WINDOW_SMALL;
	if (pcb->flags & TF_WND_SCALE && ns->rx_queued < RX_BUDGET / 2)
		t->window = WINDOW_FULL;
	pcb->rcv_wnd = pcb->rcv_ann_wnd = t->window;
	pcb->rcv_ann_right_edge = pcb->rcv_nxt + WINDOW_SMALL;
	lwip_arm(ns, t);
	return 0;
}

void lwip_abort(struct netstack *ns, struct ns_tcp *t)
{
	if (!t->pcb)
		return;
	lwip_enter(t);
	tcp_abort(t->pcb);
	lwip_leave(ns, t);
}

/* ---- start and end ---------------------------------------------------------------- */

int lwip_start(struct netstack *ns)
{
	static bool started;
	struct tcp_pcb *pcb, *lpcb;

	stack = ns;
	if (!started) {
		lwip_init();
		started = true;
	}
	if (!netif_add_noaddr(&ns->netif, ns, netif_start, netif_no_input))
		return -ENOMEM;
	netif_set_up(&ns->netif);
	netif_set_link_up(&ns->netif);
	pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
	if (!pcb)
		goto no_netif;
	tcp_bind_netif(pcb, &ns->netif);
	lpcb = tcp_listen(pcb);
	if (!lpcb) {
		tcp_abort(pcb);
		goto no_netif;
	}
	tcp_accept(lpcb, on_accept);
	ns->listener = (struct tcp_pcb_listen *)lpcb;
	tcp_listen_pcbs.listen_pcbs = NULL;
	return 0;

no_netif:
	netif_remove(&ns->netif);
	return -ENOMEM;
}

void lwip_stop(struct netstack *ns)
{
	if (ns->listener) {
		tcp_listen_pcbs.listen_pcbs = ns->listener;
		tcp_close((struct tcp_pcb *)ns->listener);
		tcp_listen_pcbs.listen_pcbs = NULL;
	}
	netif_remove(&ns->netif);
	stack = NULL;
}
