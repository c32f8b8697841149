#include "ext/stripe_event.h"
#include "fuzz.h"

union any {
    struct wire_customer customer;
    struct wire_subscription subscription;
    struct wire_invoice invoice;
    struct wire_payment payment;
    struct wire_charge charge;
    struct wire_refund refund;
    struct wire_dispute dispute;
    struct wire_session session;
    struct wire_invoice_payment invoice_payment;
    struct wire_payment_method payment_method;
};

/* Each reader, whatever the object says that it is. */
static void read_as_all(const json *o)
{
    union any any;
    stripe_read_customer(o, &any.customer);
    stripe_read_subscription(o, &any.subscription);
    stripe_read_invoice(o, &any.invoice);
    PROMISE(any.invoice.npayments <= WIRE_PAYMENTS);
    stripe_read_payment(o, &any.payment);
    PROMISE(any.payment.amount >= 0 && any.payment.amount <= STRIPE_AMOUNT_MAX);
    stripe_read_charge(o, &any.charge);
    stripe_read_refund(o, &any.refund);
    stripe_read_dispute(o, &any.dispute);
    stripe_read_session(o, &any.session);
    stripe_read_invoice_payment(o, &any.invoice_payment);
    stripe_read_payment_method(o, &any.payment_method);
}

/* An envelope that is read has an id and a type that fit; a scan finds the id that reading finds.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ARENA_AUTO mem = arena_new(0);
    sv text = fuzz_text(data, n);
    struct stripe_event read = {0}, scanned = {0};
    const json *j;
    (void)!stripe_signature_check(text, SV("{}"), SV("whsec_a,whsec_b"), (ts){0}, (ts){0});
    err parsed = json_parse(mem, text, &j);
    if (parsed == ERR_JSON_NUL || parsed == ERR_JSON_NUMBER)
        (void)stripe_event_scan(mem, text, &scanned);
    if (parsed != OK)
        return 0;
    read_as_all(j);
    if (stripe_event_read(j, &read) != OK)
        return 0;
    PROMISE(read.id.n > 0 && read.id.n <= STRIPE_ID_MAX && read.type.n > 0);
    if (stripe_event_scan(mem, text, &scanned))
        PROMISE(sv_eq(scanned.id, read.id) && sv_eq(scanned.type, read.type));
    read_as_all(read.object);
    return 0;
}
