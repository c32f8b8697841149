/* Shared by the files of admin/. */
#pragma once
#include "admin/admin.h"
#include "app/app.h"
#include "app/audit.h"

/* {"ok": true} */
err admin_done(struct req *r);

err admin_member_list(struct req *r);
err admin_member_get(struct req *r);
err admin_member_patch(struct req *r);
err admin_subscription_list(struct req *r);
err admin_subscription_cancel(struct req *r);
err admin_purchase_list(struct req *r);
err admin_purchase_get(struct req *r);
err admin_purchase_refund(struct req *r);
err admin_invoice_refund(struct req *r);
err admin_grant_list(struct req *r);
err admin_grant_post(struct req *r);
err admin_grant_delete(struct req *r);
err admin_discount_list(struct req *r);
err admin_discount_post(struct req *r);
err admin_discount_delete(struct req *r);
err admin_event_list(struct req *r);
err admin_event_get(struct req *r);
err admin_event_replay(struct req *r);
err admin_drift_list(struct req *r);
err admin_flag_list(struct req *r);
err admin_flag_delete(struct req *r);
err admin_audit_list(struct req *r);
err admin_metrics(struct req *r);
