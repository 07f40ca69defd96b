package controller

import (
	"context"
	"fmt"

	"kserver/protocol"
)

// UpgradeType says which way a feature's level may change (KIP-584), with Kafka's
// codes.
type UpgradeType int8

// The ways a level may change.
const (
	Upgrade         UpgradeType = 1
	SafeDowngrade   UpgradeType = 2
	UnsafeDowngrade UpgradeType = 3
)

// FeatureUpdate asks for a feature to be finalized at a level.
type FeatureUpdate struct {
	Name  string
	Level int16
	Type  UpgradeType
}

// UpdateFeatures finalizes features at other levels, all of them or none. The
// answer is nil when they are in force. With validateOnly nothing is changed.
func (c *Controller) UpdateFeatures(ctx context.Context, updates []FeatureUpdate, validateOnly bool) *protocol.Error {
	var refused *protocol.Error
	err := c.execute(ctx, func(image *MetadataImage) []Record {
		var records []Record
		for _, u := range updates {
			if refused = c.checkFeature(image, u); refused != nil {
				return nil
			}
			if image.features[u.Name] != u.Level {
				records = append(records, &FeatureLevelRecord{Name: u.Name, Level: u.Level})
			}
		}
		if len(records) > maxRecordsPerBatch {
			refused = errTooLarge
		}
		if refused != nil || validateOnly {
			return nil
		}
		return records
	})
	if err != nil {
		return asError(err)
	}
	return refused
}

// checkFeature refuses a level this release has not, or that the type of the
// update does not lead to.
func (c *Controller) checkFeature(image *MetadataImage, u FeatureUpdate) *protocol.Error {
	refuse := func(format string, args ...any) *protocol.Error {
		return protocol.Errorf(protocol.InvalidUpdateVersion, "Invalid update version %d for feature %s. %s", u.Level, u.Name, fmt.Sprintf(format, args...))
	}
	current := image.features[u.Name]
	supported, ok := supportedFeature(u.Name)
	switch {
	case u.Type != Upgrade && u.Type != SafeDowngrade && u.Type != UnsafeDowngrade:
		return refuse("The controller does not support the given upgrade type.")
	case u.Level < 0:
		return refuse("A feature version cannot be less than 0.")
	case !ok && u.Level == 0:
		return refuse("Feature %s not found.", u.Name)
	case !ok:
		return refuse("Local controller %d does not support this feature.", c.cfg.NodeID)
	case u.Level < supported.Min || u.Level > supported.Max:
		return refuse("Local controller %d only supports versions %d-%d", c.cfg.NodeID, supported.Min, supported.Max)
	case u.Level < current && u.Type == Upgrade:
		return refuse("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.Level > current && u.Type != Upgrade:
		return refuse("Can't downgrade to a newer version.")
	}
	return nil
}

func supportedFeature(name string) (FeatureRange, bool) {
	for _, f := range SupportedFeatures() {
		if f.Name == name {
			return f, true
		}
	}
	return FeatureRange{}, false
}
