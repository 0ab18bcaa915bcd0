/* SPDX-License-Identifier: MIT */
/*
 * names.h - every fixed name and number by which this product is known to the
 * machine.  Documented in README.md; the daemon's options change the ones
 * marked (option).
 */
#ifndef APPTUNNEL_NAMES_H
#define APPTUNNEL_NAMES_H

#define NAMES_MARK		0x01000000u	/* bypass bit: fwmark and ct mark (option) */
#define NAMES_TABLE		44300u		/* routing table of engine 0 (option) */
#define NAMES_RULE_PRIO		4430u		/* rule of engine 0 (option) */
#define NAMES_RULE_PRIO_MAIN	4429u		/* exceptions that go to main: DHCP, inbound */
#define NAMES_ROUTE_PROTO	143u		/* rtm_protocol of all our routes and rules */
#define NAMES_SHADOW_METRIC	4294967295u
#define NAMES_TUN		"atp0"
#define NAMES_TUN_STEM		"atp"		/* what the rule set takes for one of ours */
#define NAMES_TUN_QUEUE		8192u		/* packets: the ring drops what does not fit */
#define NAMES_NFT_TABLE		"apptunnel"	/* inet and arp; engine n > 0: + its number */
#define NAMES_MAX_PROFILES	8

#define NAMES_SERVICE4		"198.18.53.53"		/* +n for engine n */
#define NAMES_SERVICE6		"fd61:7070:7475::53"

#define NAMES_PROFILE_DIR	"/etc/apptunnel/profiles.d"	/* (option) */
#define NAMES_SIGNER		"/etc/apptunnel/signer.pem"	/* (option) */
#define NAMES_RUN_DIR		"/run/apptunnel"		/* (option) */
#define NAMES_STATE_DIR		"/var/lib/apptunnel"		/* (option) */
#define NAMES_LOG_DIR		"/var/log/apptunnel"		/* (option) debug logs */
#define NAMES_CONTROL_SOCKET	"control.sock"		/* in the run folder */
#define NAMES_RESOLV_CONF	"/etc/resolv.conf"		/* (option) */

#define NAMES_USER		"apptunnel"	/* user and group of engine and parser */
#define NAMES_UID		64430		/* where no such user exists */

#endif
