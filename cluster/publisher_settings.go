package cluster

import (
	"slices"
	"strconv"

	"kserver/cluster/controller"
)

// settings puts what administrators set for this broker, or for all, in force, if the change is of that kind: for
// every topic there is too.
func (p *publisher) settings(d *controller.Delta, image *controller.MetadataImage) error {
	shared, own := brokerResource(""), brokerResource(strconv.Itoa(int(p.nodeID)))
	if changed := d.Configs(); !slices.Contains(changed, shared) && !slices.Contains(changed, own) {
		return nil
	}
	for _, err := range p.live.Update(image.Configs(shared), image.Configs(own)) {
		p.logger.Warn("broker setting has no effect", "err", err)
	}
	p.configure(p.live.Current())
	touched := make(map[controller.UUID]bool)
	for _, c := range d.Topics() { // those come later
		if c.After != nil {
			touched[c.After.ID] = true
		}
	}
	for t := range image.Topics() {
		if touched[t.ID] {
			continue
		}
		if err := p.apply(t, t, true); err != nil {
			return err
		}
	}
	return nil
}

func brokerResource(name string) controller.ConfigResource {
	return controller.ConfigResource{Type: controller.ResourceBroker, Name: name}
}
