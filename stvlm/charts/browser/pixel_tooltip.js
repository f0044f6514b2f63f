// A small box that tells place and value of the pixel below the pointer; it comes and goes with the features it belongs to.
function stvlmPixelTooltip(parent, data) {
  var Reader = L.Layer.extend({
    onAdd: function (map) {
      var box = L.DomUtil.create('div', 'stvlm-box stvlm-reader');
      box.setAttribute('role', 'status');
      box.style.fontWeight = 400;
      box.style.display = 'none';
      this._control = L.control({position: 'bottomright'});
      this._control.onAdd = function () { return box; };
      this._control.addTo(map);
      this._tell = function (event) {
        var row = Math.floor((data.north - event.latlng.lat) / (data.north - data.south) * data.values.length);
        var column = Math.floor((event.latlng.lng - data.west) / (data.east - data.west) * data.values[0].length);
        var inside = row >= 0 && row < data.values.length && column >= 0 && column < data.values[0].length;
        box.style.display = inside ? '' : 'none';
        if (!inside) { return; }
        var value = data.values[row][column];
        box.textContent = event.latlng.lat.toFixed(data.digits) + '\u00b0, ' + event.latlng.lng.toFixed(data.digits) +
          '\u00b0: ' + (value === null ? data.missing : (value.toFixed(data.decimals) + ' ' + data.unit).trim());
      };
      this._hide = function () { box.style.display = 'none'; };
      map.on('mousemove', this._tell);
      map.on('mouseout', this._hide);
    },
    onRemove: function (map) {
      map.off('mousemove', this._tell);
      map.off('mouseout', this._hide);
      this._control.remove();
    }
  });
  new Reader().addTo(parent);
}
