//! A datacenter, as Locations_List and Locations_Get answer it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A datacenter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LocationResponse {
    /// Its path.
    pub id: String,
    /// Its name, such as `West US`.
    pub name: String,
    /// `Microsoft.ImportExport/locations`
    pub r#type: String,
    /// Everything else.
    pub properties: LocationProperties,
}

/// Where drives are sent to, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocationProperties {
    /// Who takes the parcel.
    pub recipient_name: String,
    /// Street and number.
    pub street_address1: String,
    /// More of it.
    pub street_address2: String,
    /// City.
    pub city: String,
    /// State or province.
    pub state_or_province: String,
    /// Postal code.
    pub postal_code: String,
    /// Country or region.
    pub country_or_region: String,
    /// Telephone number.
    pub phone: String,
    /// What a carrier should know.
    pub additional_shipping_information: String,
    /// Carriers that it takes parcels from.
    pub supported_carriers: Vec<String>,
    /// Paths of the locations that take its drives: itself, unless it takes none.
    pub alternate_locations: Vec<String>,
}
