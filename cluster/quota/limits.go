package quota

import "math"

// Kind is what a quota bounds.
type Kind uint8

// The kinds of quotas.
const (
	ProducerBytes Kind = iota // bytes of produce requests in a second
	ConsumerBytes             // bytes of fetch answers in a second
	RequestTime               // percent of one thread
	Mutations                 // partitions created and deleted in a second (KIP-599)
	kinds
)

// String is the key of the quota in Kafka's tools.
func (k Kind) String() string {
	return [...]string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"}[k]
}

// KindOf is the kind with that key.
func KindOf(key string) (Kind, bool) {
	for k := range kinds {
		if k.String() == key {
			return k, true
		}
	}
	return 0, false
}

// Scope says of a quota which users, or client ids, it is for.
type Scope uint8

// The scopes.
const (
	Any     Scope = iota // the quota is not about them
	Default              // those without a quota by name
	Named                // the one with the name
)

// Name is a scope, and the name when it is Named.
type Name struct {
	Scope Scope
	Name  string
}

// Quota is one bound. Either User or ClientID, or both, is not Any.
type Quota struct {
	Kind           Kind
	User, ClientID Name
	Bound          float64 // in a second; above 0
}

// limits finds the bound of a client. It is immutable.
type limits struct {
	bounds [kinds]map[scopes]float64
	// present are the levels of precedence that have a quota.
	present [kinds][len(precedence)]bool
}

// scopes is who a quota is for.
type scopes struct{ user, clientID Name }

// precedence lists the scopes of user and client id a quota can have, the most
// specific first: the first level with a quota for the client counts. Levels
// without client id give the user's clients one rate together, those without
// user give the client id one rate for all users.
var precedence = [...]struct{ user, clientID Scope }{
	{Named, Named}, {Named, Default}, {Named, Any},
	{Default, Named}, {Default, Default}, {Default, Any},
	{Any, Named}, {Any, Default},
}

// newLimits returns nil when there is no quota.
func newLimits(quotas []Quota) *limits {
	if len(quotas) == 0 {
		return nil
	}
	l := &limits{}
	for _, q := range quotas {
		if l.bounds[q.Kind] == nil {
			l.bounds[q.Kind] = make(map[scopes]float64)
		}
		l.bounds[q.Kind][scopes{q.User, q.ClientID}] = q.Bound
		for i, p := range precedence {
			if p.user == q.User.Scope && p.clientID == q.ClientID.Scope {
				l.present[q.Kind][i] = true
			}
		}
	}
	return l
}

// bound finds the bound of a client and whom it shares the rate with: an empty
// user, or client id, in shared stands for all. The bound is +Inf when there is
// none.
func (l *limits) bound(k Kind, user, clientID string) (bound float64, shared sensorKey) {
	for i, p := range precedence {
		if !l.present[k][i] {
			continue
		}
		b, ok := l.bounds[k][scopes{nameAt(p.user, user), nameAt(p.clientID, clientID)}]
		if !ok {
			continue
		}
		shared = sensorKey{kind: k}
		if p.user != Any {
			shared.user = user
		}
		if p.clientID != Any {
			shared.clientID = clientID
		}
		return b, shared
	}
	return math.Inf(1), sensorKey{}
}

// nameAt is how a name is looked up at a scope.
func nameAt(s Scope, name string) Name {
	if s == Named {
		return Name{Named, name}
	}
	return Name{Scope: s}
}
