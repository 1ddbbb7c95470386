package fair

import "context"

// Paying knows who pays for the work of a call. It is asked when the work begins,
// because a call learns who its caller is on its way.
type Paying interface{ Payer() Payer }

// Payer implements Paying.
func (p Payer) Payer() Payer { return p }

type payingKey struct{}

// WithPaying has the work that is done under a context charged.
func WithPaying(ctx context.Context, by Paying) context.Context {
	return context.WithValue(ctx, payingKey{}, by)
}

// PayerOf is who pays for work under a context; the empty payer, which is the
// service itself, where nobody is named.
func PayerOf(ctx context.Context) Payer {
	if by, ok := ctx.Value(payingKey{}).(Paying); ok {
		return by.Payer()
	}
	return Payer{}
}

// Detach makes a context for work that may outlive the call that began it. It does
// not end with the call, and whoever pays now pays for all of it: the call itself
// must not be asked later.
func Detach(ctx context.Context) context.Context {
	return WithPaying(context.WithoutCancel(ctx), PayerOf(ctx))
}
