"""GeoJSON that is deep, endless, in no known coordinates, or no GeoJSON at all."""

import json

from tests.hostile.doors import read, refused, sensors


def points(*properties: dict, places: list | None = None, **more) -> bytes:
    """A FeatureCollection of points with these properties."""
    places = places or [[11.5 + i / 10, 48.1] for i in range(len(properties))]
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": place}, "properties": facts}
        for place, facts in zip(places, properties, strict=True)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features} | more).encode()


THREE = [{"sensor_id": "01"}, {"sensor_id": "02"}, {"sensor_id": "NA"}]


def geo(content: bytes | str) -> dict:
    """An upload whose sensors are GeoJSON."""
    return sensors(content, "s.geojson")


refused("JSON 100,000 levels deep", "nested more than 32 levels deep", lambda: geo("[" * 100_000 + "]" * 100_000))
refused("JSON of deep objects", "nested more than 32 levels deep", lambda: geo('{"a":' * 50_000 + "1" + "}" * 50_000))
refused("depth behind an open quote", "s.geojson: ", lambda: geo('["' + "\\\n" + '"' + "[" * 100_000))
refused("a million escaped quotes", "s.geojson: not valid JSON", lambda: geo('{"a": "' + '\\"' * 1_000_000))
refused("JSON of 4 million lists", "s.geojson: more than", lambda: geo("[" + "[]," * 4_000_000 + "[]]"))
refused("JSON of 4 million objects", "s.geojson: more than", lambda: geo('{"features":[' + "{}," * 4_000_000 + "{}]}"))
refused("JSON of 4 million numbers", "s.geojson: more than", lambda: geo("[" + "0," * 4_000_000 + "0]"))
refused(
    "1,000 features with 100 names of their own",
    "columns",
    lambda: geo(points(*({f"k{i}.{j}": 1 for j in range(100)} for i in range(1000)))),
)
refused(
    "9,000 features with a name of their own",
    "more than 500 columns",
    lambda: geo(
        points(*({"sensor_id": f"s{i}", f"fact {i}": 1} for i in range(9000)), places=[[11 + i / 1e4, 48] for i in range(9000)])
    ),
)
refused("a number of 5,000 digits in JSON", "not valid JSON", lambda: geo('{"features": [' + "9" * 5000 + "]}"))
refused("a coordinate of 400 digits", "the coordinates are not", lambda: geo(points(*THREE, places=[[10**400, 1], [1, 2], [3, 4]])))
refused("a coordinate that is true", "the coordinates are not", lambda: geo(points(*THREE, places=[[True, 1], [1, 2], [3, 4]])))
refused("a coordinate that is a text", "the coordinates are not", lambda: geo(points(*THREE, places=[["1", "2"], [1, 2], [3, 4]])))
refused("a coordinate that overflows", "the coordinates are not", lambda: geo(points(*THREE).replace(b"11.5,", b"1e999,")))
refused("a number that is NaN", "NaN is not a JSON number", lambda: geo(points(*THREE).replace(b"48.1", b"NaN", 1)))
refused(
    "an unknown EPSG code",
    "s.geojson: its coordinates are in",
    lambda: geo(points(*THREE, crs={"properties": {"name": "EPSG:99999"}})),
)
refused("an EPSG code of 5,000 digits", "s.geojson: its coordinates are in", lambda: geo(points(*THREE, crs="EPSG:" + "9" * 4900)))
refused(
    "coordinates in a file of PROJ", "s.geojson: its coordinates are in", lambda: geo(points(*THREE, crs="+init=/etc/passwd:root"))
)
refused("a vertical EPSG code", "s.geojson: its coordinates are in", lambda: geo(points(*THREE, crs="EPSG:5703")))
refused("features that are no list", "no GeoJSON FeatureCollection", lambda: geo('{"features": {"a": 1}}'))
refused("features that are numbers", "is not a point", lambda: geo('{"features": [1, 2, 3]}'))
refused("properties that are a list", "the properties are not", lambda: geo(points(*THREE).replace(b'{"sensor_id": "01"}', b"[1]")))
refused("a list instead of GeoJSON", "no GeoJSON FeatureCollection", lambda: geo("[" + "1," * 1000 + "1]"))
refused("a link instead of coordinates", "is not a point", lambda: geo('{"features": [{"geometry": "file:///etc/passwd"}]}'))
refused("JSON in Latin-1 with half a letter", "s.geojson", lambda: geo(b'{"features": [{"\xff\xfe": 1}]}'))
refused("two names that strip to one", "stands there more than once", lambda: geo(points(*({**f, "a": 1, " a": 2} for f in THREE))))
refused("ids that are lists", "no column sensor_id", lambda: geo(points(*({"sensor_id": [1]} for _ in range(3)))))
read(
    "a property called __proto__",
    "3 sensors",
    lambda: geo(points(*({**f, "__proto__": {"x": 1}, "__class__": "y"} for f in THREE))),
)
read("half a letter in a name", "3 sensors", lambda: geo(points(*({**f, "name": "a\ud800b"} for f in THREE))))
read("a name of 100 kB in JSON", "cut to", lambda: geo(points(*({**f, "name": "x" * 100_000} for f in THREE))))
read("facts of 4,000 digits", "3 sensors", lambda: geo(points(*({**f, "lanes": 10**3999} for f in THREE))))
