/* SPDX-License-Identifier: MIT */
/* ctl_import_apple.h - what the files that read a configuration profile share */
#ifndef APPTUNNEL_CTL_IMPORT_APPLE_H
#define APPTUNNEL_CTL_IMPORT_APPLE_H

#include "client/ctl_import.h"

/*
 * import_ondemand() - OnDemandEnabled and OnDemandRules
 * @where: place of @payload
 * @vpn: its dictionary VPN, or NULL
 */
void import_ondemand(struct import_result *r, const char *where, struct node *vpn,
		     struct node *payload);

#endif
